"""A shop's definition: what a click carries, what is computed of a session, what counts as a conversion.

`shop_file` reads one; everything that depends on it names its hash. docs/own-shop.md has the language.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from clickstream.features.condition import Expression, Name, ValueKind, parts_of


class FieldType(StrEnum):
    """What a field holds."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"


class Aggregation(StrEnum):
    """What a feature makes of the clicks."""

    COUNT = "count"
    SHARE = "share"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    STD = "std"
    FIRST = "first"
    LAST = "last"
    DISTINCT = "distinct"
    ENTROPY = "entropy"
    CHANGES = "changes"
    SECONDS = "seconds"
    POSITION = "position"
    RATIO = "ratio"
    SAME = "same"


DERIVED = (Aggregation.RATIO, Aggregation.SAME)
"""Made of other features."""

IN_ORDER = (
    Aggregation.FIRST,
    Aggregation.LAST,
    Aggregation.CHANGES,
    Aggregation.SECONDS,
    Aggregation.POSITION,
)
"""They know only clicks that came in time for their place in the order; the others count late clicks too."""

SECONDS = ("since first", "since previous", "mean since previous", "max since previous")

OF_NUMBERS = (Aggregation.SUM, Aggregation.MEAN, Aggregation.MIN, Aggregation.MAX, Aggregation.STD)
NUMERIC = (FieldType.NUMBER, FieldType.INTEGER)
KINDS = {
    FieldType.TEXT: ValueKind.text,
    FieldType.NUMBER: ValueKind.number,
    FieldType.INTEGER: ValueKind.number,
    FieldType.BOOLEAN: ValueKind.truth,
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a click. Bounds are of the value, of a text those of its length in characters."""

    name: str
    type: FieldType
    optional: bool = False
    at_least: float | None = None
    at_most: float | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a click: as it was written, and what it means."""

    text: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature.

    `field` is what it aggregates, `counted` the condition of a count or share, `where` the clicks that count
    at all, `seconds` which distance is meant, `of` the features that a derived one is made of. `in_scores`
    False: an input of the models that scores do not repeat.
    """

    name: str
    aggregation: Aggregation
    field: str | None = None
    counted: Condition | None = None
    where: Condition | None = None
    seconds: str | None = None
    of: tuple[str, ...] = ()
    in_scores: bool = True


@dataclass(frozen=True, slots=True)
class Goal:
    """What counts as a conversion.

    With `last_click` False a click that meets `when` converts the session, and its revenue is the sum of
    `value` over such clicks. With True the last click decides both: a proxy, for logs without a conversion.
    """

    when: Condition
    value: str | None = None
    last_click: bool = False


@dataclass(frozen=True, slots=True)
class ShopDefinition:
    """A shop. `identity`: the fields that tell two clicks of one time apart where they carry no order."""

    name: str
    currency: str | None
    fields: tuple[Field, ...]
    identity: tuple[str, ...]
    goal: Goal
    features: tuple[Feature, ...]
    clustered: tuple[str, ...]
    distinct_at_most: int
    hash: str
    """Sixteen hexadecimal digits over all of it; comments and white space do not count."""
    source: str
    """The definition as it was given, as JSON: `from_source` reads it back, with the same hash."""

    def __hash__(self) -> int:
        return hash(self.hash)

    def field(self, name: str) -> Field:
        """The field of that name."""
        return next(field for field in self.fields if field.name == name)

    def feature(self, name: str) -> Feature:
        """The feature of that name."""
        return next(feature for feature in self.features if feature.name == name)

    def kind(self, feature: Feature) -> ValueKind:
        """What a feature is where it is not null."""
        return kind_of(feature, self.field)

    def used_fields(self) -> tuple[Field, ...]:
        """The fields that the fold needs, in the order of the definition."""
        used = {*self.identity, self.goal.value}
        conditions = [self.goal.when]
        for feature in self.features:
            used.add(feature.field)
            conditions += [c for c in (feature.counted, feature.where) if c is not None]
        for condition in conditions:
            used |= {p.path[0] for p in parts_of(condition.expression) if isinstance(p, Name)}
        return tuple(field for field in self.fields if field.name in used)


def kind_of(feature: Feature, field: Callable[[str], Field]) -> ValueKind:
    """What a feature is where it is not null; `field` gives a field by its name."""
    if feature.aggregation in (Aggregation.FIRST, Aggregation.LAST):
        return KINDS[field(feature.field or "").type]
    return ValueKind.number
