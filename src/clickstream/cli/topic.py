"""Sessions of the clicks topic for commands that learn from them: progress, and what was left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from clickstream.infra.kafka.topic_log import ReadingProgress
from clickstream.infra.settings import Settings
from clickstream.infra.words import counted
from clickstream.local.servers import with_running_servers
from clickstream.offline.recorded import RecordedSessions
from clickstream.terminal.steps import StepReport

T = TypeVar("T")


def read_topic(
    settings: Settings,
    reader: Callable[[Settings, ReadingProgress], RecordedSessions[T]],
    console: Console,
    step: StepReport,
) -> RecordedSessions[T]:
    """What `reader` finds on the clicks topic, which is read to its end.

    Raises:
        InputError: no session on it has closed.
        UnavailableError: the broker does not answer, or there is no such topic.
    """
    topic = settings.clicks_topic
    step(f"reading topic {topic} to its end")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True
    ) as bars:
        task = bars.add_task(topic, total=None)
        recorded = reader(
            with_running_servers(settings),
            lambda _, passed, total: bars.update(task, completed=passed, total=total),
        )
    step(_in_words(recorded))
    return recorded


def _in_words(recorded: RecordedSessions[T]) -> str:
    refused = ", ".join(f"{count:,} {reason}" for reason, count in sorted(recorded.refused.items()))
    words = [
        f"{counted(recorded.clicks, 'click')}, {counted(recorded.found, 'session')}",
        f"refused: {refused or 'none'}",
        f"counted late: {recorded.late:,}",
        f"left out: {recorded.open:,} still open",
    ]
    if len(recorded.sessions) < recorded.found:
        words.append(f"a sample of {len(recorded.sessions):,} sessions is trained on")
    if recorded.cut:
        words.append(f"{recorded.cut:,} that may begin before the topic does")
    return "; ".join(words)
