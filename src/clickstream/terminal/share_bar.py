"""A bar for work of which the share done is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


@contextmanager
def share_bar(say: Console) -> Iterator[Callable[[float, str], None]]:
    """A bar on a terminal, nothing elsewhere: a function of the share done, from 0 to 1, and of words."""
    if not say.is_terminal:
        yield lambda _share, _words: None
        return
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=say, transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda share, words: bar.update(task, completed=share, description=words)
