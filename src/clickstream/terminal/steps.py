"""The steps of a command that takes minutes, each with the seconds since it began."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

StepReport = Callable[[str], None]
"""A function called with what is done now."""


def step_report(console: Console) -> StepReport:
    """Print each step as it is reported; the clock starts here."""
    begun = time.monotonic()

    def step(words: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:5.1f} s[/]  {escape(words)}")

    return step
