"""A definition in words, for people: what each field may hold, what each feature is, what a conversion is."""

from __future__ import annotations

from clickstream.features.definition import Aggregation, Feature, Field, FieldType, ShopDefinition

_OF_A_FIELD = {
    Aggregation.SUM: "sum of {}",
    Aggregation.MEAN: "mean of {}",
    Aggregation.MIN: "smallest {}",
    Aggregation.MAX: "largest {}",
    Aggregation.STD: "population standard deviation of {}",
    Aggregation.FIRST: "{} of the first click",
    Aggregation.LAST: "{} of the last click",
    Aggregation.DISTINCT: "number of different values of {}",
    Aggregation.ENTROPY: "entropy of {}, in bits",
    Aggregation.CHANGES: "number of clicks whose {} differs from the one before",
}
_SECONDS = {
    "since first": "seconds from the first click to the last",
    "since previous": "seconds from the click before the last to the last",
    "mean since previous": "mean seconds between clicks",
    "max since previous": "longest seconds between clicks",
}


def field_in_words(field: Field) -> str:
    """What a field may hold."""
    words = str(field.type)
    low, high = field.at_least, field.at_most
    if field.type is FieldType.TEXT:
        words += f" of {low:g} to {high:g} characters"
    elif low is not None or high is not None:
        words += "".join(
            [
                f", at least {_number(low)}" if low is not None else "",
                f", at most {_number(high)}" if high is not None else "",
            ]
        )
    return words + (", may be absent" if field.optional else "")


def feature_in_words(feature: Feature) -> str:
    """What a feature is."""
    where = f", of clicks where {feature.where.text}" if feature.where is not None else ""
    match feature.aggregation:
        case Aggregation.COUNT:
            return "number of clicks" + (f" where {feature.counted.text}" if feature.counted else "") + where
        case Aggregation.SHARE:
            return f"share of clicks where {feature.counted.text if feature.counted else ''}{where}"
        case Aggregation.SECONDS:
            return _SECONDS[feature.seconds or ""] + where
        case Aggregation.POSITION:
            return "order of the last click; where clicks carry none, the number of clicks"
        case Aggregation.RATIO:
            return " divided by ".join(feature.of)
        case Aggregation.SAME:
            return f"1 where {' and '.join(feature.of)} are equal, else 0"
    return _OF_A_FIELD[feature.aggregation].format(feature.field) + where


def goal_in_words(definition: ShopDefinition) -> str:
    """What a conversion is, and what it is worth."""
    goal = definition.goal
    if goal.last_click:
        words = f"a session converts if {goal.when.text} holds for its last click (a proxy)"
        return words + (f"; its revenue is the {goal.value} of that click" if goal.value else "")
    words = f"a click where {goal.when.text} converts its session"
    return words + (f"; its revenue is the sum of {goal.value} over such clicks" if goal.value else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"
