"""Conditions on a score, as `conversion > 0.8 and cluster == "long"`: see features/condition.py."""

from __future__ import annotations

from collections.abc import Callable

from clickstream.features.condition import ConditionError as UnreadableError
from clickstream.features.condition import Name, holds, parse_expression
from clickstream.features.shop import UCI553, Shop
from clickstream.infra.errors import UsageError
from clickstream.terminal.scores.fields import ScoreObject, UnknownFieldError, find_field, value_at

ScoreCondition = Callable[[ScoreObject], bool]


class ScoreConditionError(UsageError):
    """A condition that cannot be read; says where."""


def parse_condition(
    text: str, scorer: str = "batch", shop: Shop = UCI553, opened: bool = False
) -> ScoreCondition:
    """Whether a score of a shop fulfils `text`; `conversion`, `revenue`, `cluster` are those of `scorer`.

    Raises:
        ScoreConditionError: it is no condition on a score; shows the place, and what is known.
    """

    def lookup(name: str) -> Name:
        try:
            field = find_field(name, scorer, shop, opened)
        except UnknownFieldError as error:
            raise UnreadableError(error.what, error.remedy) from None
        return Name(field.path, field.kind)

    try:
        return holds(parse_expression(text, lookup), value_at)
    except UnreadableError as error:
        raise ScoreConditionError(error.what, error.remedy) from None
