"""Sessions: the scored sessions of a file, column by column, one row a session."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from clickstream.features.definition import Aggregation, Feature, FieldType
from clickstream.features.shop import Shop
from clickstream.models.scorers import scorers_of

_ANSWERS: dict[str, type] = {"conversion": float, "revenue": float, "cluster": int, "cluster_name": str}
_OF_SCORE = ("closed_by", "clicks", "duplicates", "late", "missing", "evidence")

_TYPES: dict[FieldType, type] = {
    FieldType.TEXT: str,
    FieldType.NUMBER: float,
    FieldType.INTEGER: int,
    FieldType.BOOLEAN: bool,
}
_OF_ITS_FIELD = (Aggregation.FIRST, Aggregation.LAST, Aggregation.MIN, Aggregation.MAX, Aggregation.SUM)
_FRACTIONS = (
    Aggregation.SHARE,
    Aggregation.MEAN,
    Aggregation.STD,
    Aggregation.ENTROPY,
    Aggregation.SECONDS,
    Aggregation.RATIO,
)


REASONS = "batch_reasons"
"""The column with what moved the prediction of `batch`, where it is asked for: `last_price -0.41, …`."""


def columns_of(shop: Shop, with_reasons: bool = False) -> dict[str, type]:
    """Name -> type of each column, in order: what the scores of a shop say, without what it does not have.

    Times are ms since the epoch; None where the file has none. A feature that is called like another column
    is called `feature_…`.
    """
    before = {
        "session_id": str,
        "window": int,
        "day": datetime.date,
        "opened_at": datetime.datetime,
        "last_click_at": datetime.datetime,
        "closed_by": str,
    } | dict.fromkeys(_OF_SCORE[1:], int)
    spent = shop.definition.goal.value is not None
    after = {
        f"{scorer}_{answer}": kind
        for scorer in scorers_of(shop)
        for answer, kind in _ANSWERS.items()
        if spent or answer != "revenue"
    }
    after |= {REASONS: str} if with_reasons else {}
    after |= {"converted": bool} | ({"revenue": float} if spent else {}) | {"error": str}
    columns: dict[str, type] = dict(before)
    for feature in shop.definition.features:
        if feature.in_scores:
            name = feature.name
            while name in columns or name in after:
                name = f"feature_{name}"
            columns[name] = type_of(shop, feature)
    return columns | after


def type_of(shop: Shop, feature: Feature) -> type:
    """The Python type of the values of a feature."""
    if feature.aggregation in _OF_ITS_FIELD:
        return _TYPES[shop.definition.field(feature.field or "").type]
    return float if feature.aggregation in _FRACTIONS else int


class Sessions:
    """Columns of equal length, of plain Python values: `columns[name][i]` is of session i.

    Attributes:
        types: name -> type of each column, as `columns_of` the shop has them.
    """

    def __init__(self, shop: Shop, with_reasons: bool = False) -> None:
        self.types = columns_of(shop, with_reasons)
        self.columns: dict[str, list[Any]] = {name: [] for name in self.types}
        self._shop = shop
        self._features = [one.name for one in shop.definition.features if one.in_scores]
        self._windows: dict[str, int] = {}
        self._texts: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.columns["session_id"])

    def row(self, place: int) -> dict[str, Any]:
        """One session."""
        return {name: column[place] for name, column in self.columns.items()}

    def at(self, places: Sequence[int]) -> Sessions:
        """Some of the sessions."""
        some = Sessions(self._shop, REASONS in self.types)
        for name, column in self.columns.items():
            some.columns[name] = [column[place] for place in places]
        return some

    def add(
        self, score: Mapping[str, Any], day: datetime.date, has_times: bool, reasons: str | None = None
    ) -> None:
        """Append a session by its Score, with reasons where there is a column for them."""
        session_id = score["session_id"]
        window = self._windows[session_id] = self._windows.get(session_id, 0) + 1
        before = [
            session_id,
            window,
            day,
            score["opened_at"] if has_times else None,
            score["last_click_at"] if has_times else None,
            *(score[name] for name in _OF_SCORE),
        ]
        after = {"converted": score["outcome"]["converted"], "revenue": score["outcome"]["revenue"]}
        after |= {"error": score["error"], REASONS: reasons}
        for scorer, answers in score["predictions"].items():
            after |= {f"{scorer}_{answer}": (answers or {}).get(answer) for answer in _ANSWERS}
        values = [*before, *(score["features"][name] for name in self._features)]
        values += [after[name] for name in list(self.types)[len(values) :]]
        for column, value in zip(self.columns.values(), values, strict=True):
            # A score is read back from JSON, each time with new texts.
            column.append(self._texts.setdefault(value, value) if isinstance(value, str) else value)
