"""Which scores are wanted: by what the options of `scores tail` name, and by conditions."""

from __future__ import annotations

from collections.abc import Callable

from clickstream.terminal.scores.condition import ScoreCondition, parse_condition
from clickstream.terminal.scores.fields import ScoreObject, find_field

ScoreFilter = Callable[[ScoreObject | None], bool]


def chosen(
    scorer: str = "batch",
    cluster: str | None = None,
    min_conversion: float | None = None,
    max_conversion: float | None = None,
    closed_by: str | None = None,
    session: str | None = None,
    where: str | None = None,
) -> ScoreFilter:
    """Whether a score passes the filters given; one without a prediction passes none that asks for it.

    What is no score (None) passes where there is no filter.

    Raises:
        ScoreConditionError: `where` is no condition on a score.
    """
    conditions = [
        _equal(name, wanted, scorer)
        for name, wanted in (("session_id", session), ("closed_by", closed_by), ("cluster", cluster))
        if wanted is not None
    ]
    if min_conversion is not None or max_conversion is not None:
        conditions.append(_between(min_conversion, max_conversion, scorer))
    if where is not None:
        conditions.append(parse_condition(where, scorer))

    def passes(score: ScoreObject | None) -> bool:
        if score is None:
            return not conditions
        return all(condition(score) for condition in conditions)

    return passes


def _equal(name: str, wanted: str, scorer: str) -> ScoreCondition:
    field = find_field(name, scorer)
    return lambda score: bool(field.of(score) == wanted)


def _between(least: float | None, most: float | None, scorer: str) -> ScoreCondition:
    field = find_field("conversion", scorer)

    def between(score: ScoreObject) -> bool:
        value = field.of(score)
        return value is not None and (least is None or value >= least) and (most is None or value <= most)

    return between
