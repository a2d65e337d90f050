"""Which scores are wanted: by what the options of `scores tail` name, and by conditions."""

from __future__ import annotations

from collections.abc import Callable

from clickstream.features.shop import UCI553, Shop
from clickstream.terminal.scores.condition import ScoreCondition, parse_condition
from clickstream.terminal.scores.fields import ScoreField, ScoreObject, find_field

ScoreFilter = Callable[[ScoreObject | None], bool]


def chosen(
    scorer: str = "batch",
    cluster: str | None = None,
    min_conversion: float | None = None,
    max_conversion: float | None = None,
    closed_by: str | None = None,
    session: str | None = None,
    where: str | None = None,
    shop: Shop = UCI553,
    opened: bool = False,
) -> ScoreFilter:
    """Whether a score passes the filters given; one without a prediction passes none that asks for it.

    What is no score (None) passes where there is no filter. `opened`: they are scores of open sessions.

    Raises:
        ScoreConditionError: `where` is no condition on a score of the shop.
        UnknownFieldError: the shop has no such scorer.
    """
    conditions = [
        _equal(find_field(name, scorer, shop, opened), wanted)
        for name, wanted in (("session_id", session), ("closed_by", closed_by), ("cluster", cluster))
        if wanted is not None
    ]
    if min_conversion is not None or max_conversion is not None:
        chance = find_field("conversion", scorer, shop, opened)
        conditions.append(_between(chance, min_conversion, max_conversion))
    if where is not None:
        conditions.append(parse_condition(where, scorer, shop, opened))

    def passes(score: ScoreObject | None) -> bool:
        if score is None:
            return not conditions
        return all(condition(score) for condition in conditions)

    return passes


def _equal(field: ScoreField, wanted: str) -> ScoreCondition:
    return lambda score: bool(field.of(score) == wanted)


def _between(field: ScoreField, least: float | None, most: float | None) -> ScoreCondition:
    def between(score: ScoreObject) -> bool:
        value = field.of(score)
        # A record of somebody else may hold anything.
        return (
            isinstance(value, float | int)
            and (least is None or value >= least)
            and (most is None or value <= most)
        )

    return between
