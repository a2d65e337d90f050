"""The scorers that answer side by side, by name. models/scorers.py says what each of them is."""

from __future__ import annotations

from typing import Literal, get_args

ScorerName = Literal["batch", "online", "reference"]

SCORERS: tuple[ScorerName, ...] = get_args(ScorerName)

LEARNING: ScorerName = "online"
"""The one that learns in the stream: its answers depend on the sessions that its partition closed before."""
