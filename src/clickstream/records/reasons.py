"""Why a window closed, and why a record was refused: the words of scores, dead letters and metrics."""

from __future__ import annotations

from typing import Literal

ClosedBy = Literal["end", "gap", "limit", "flush"]
Reason = Literal["too-large", "not-json", "invalid", "key-mismatch", "late", "future", "past"]

CUT: frozenset[ClosedBy] = frozenset(("limit",))
"""A bound closed the window: where it ends, and where the next begins, depends on more than its clicks."""
