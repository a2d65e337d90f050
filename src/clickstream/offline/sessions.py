"""Sessions: the scored sessions of a file, column by column, one row a session."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from clickstream.features.shop import UCI553_TYPES
from clickstream.records.scorers import SCORERS

_ANSWERS = ("conversion", "revenue", "cluster", "cluster_name")
_OF_SCORE = ("closed_by", "clicks", "duplicates", "late", "missing", "evidence")

COLUMNS: dict[str, type] = (
    {
        "session_id": str,
        "window": int,
        "day": datetime.date,
        "opened_at": datetime.datetime,
        "last_click_at": datetime.datetime,
        "closed_by": str,
    }
    | dict.fromkeys(_OF_SCORE[1:], int)
    | UCI553_TYPES
    | {
        f"{scorer}_{answer}": kind
        for scorer in SCORERS
        for answer, kind in zip(_ANSWERS, (float, float, int, str), strict=True)
    }
    | {"converted": bool, "revenue": float, "error": str}
)
"""Name -> type of each column, in order. Times are ms since the epoch; None where the file has none."""


class Sessions:
    """Columns of equal length, of plain Python values: `columns[name][i]` is of session i."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        self._windows: dict[str, int] = {}
        self._texts: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.columns["session_id"])

    def row(self, place: int) -> dict[str, Any]:
        """One session."""
        return {name: column[place] for name, column in self.columns.items()}

    def add(self, score: Mapping[str, Any], day: datetime.date, has_times: bool) -> None:
        """Append a session by its Score."""
        session_id = score["session_id"]
        window = self._windows[session_id] = self._windows.get(session_id, 0) + 1
        row = {
            "session_id": session_id,
            "window": window,
            "day": day,
            "opened_at": score["opened_at"] if has_times else None,
            "last_click_at": score["last_click_at"] if has_times else None,
            **{name: score[name] for name in _OF_SCORE},
            **score["features"],
            "converted": score["outcome"]["converted"],
            "revenue": score["outcome"]["revenue"],
            "error": score["error"],
        }
        for scorer in SCORERS:
            answers = score["predictions"][scorer] or {}
            for answer in _ANSWERS:
                row[f"{scorer}_{answer}"] = answers.get(answer)
        for name, column in self.columns.items():
            value = row[name]
            # A score is read back from JSON, each time with new texts.
            column.append(self._texts.setdefault(value, value) if isinstance(value, str) else value)
