"""What is missing where nothing arrives, in words, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from clickstream.dashboard.feed import FeedSnapshot
from clickstream.dashboard.open_feed import OpenSnapshot
from clickstream.infra.kafka import MissingError
from clickstream.infra.settings import Settings

_SILENCE_S = 10.0


class Missing(NamedTuple):
    """`what` is missing, and what to do: plain texts, in which names of topics and servers may stand."""

    what: str
    remedy: str


def missing(now: FeedSnapshot, opened: OpenSnapshot, settings: Settings) -> Iterator[Missing]:
    """All that keeps scores from arriving, as far as it can be seen; nothing where they do."""
    if now.problem is not None:
        if isinstance(now.problem, MissingError):
            yield Missing(
                f"no topic: {now.problem.what}",
                "The first `clickstream consume` or `clickstream replay` creates the topics.",
            )
        else:
            yield Missing(now.problem.what, now.problem.remedy)
    group = now.group
    if now.state == "following" and group is not None:
        if not group.consumers:
            waiting = f", and {group.lag:,} records wait" if group.lag else ""
            yield Missing(
                f"no consumer: group {settings.group} is empty{waiting}",
                "Start one with `clickstream consume`; it goes on where the last one was.",
            )
        if not group.written:
            yield Missing(
                f"no clicks: topic {settings.clicks_topic} is empty",
                "Start your producer, or one of ours: `clickstream replay --speed 60`.",
            )
        elif now.quiet_s is not None and now.quiet_s > _SILENCE_S:
            yield Missing(
                f"no clicks for {now.quiet_s:,.0f} s on topic {settings.clicks_topic}",
                "Time goes on with clicks and heartbeats: without them no session closes.",
            )
    # Where the broker is away it is asked for the topic in vain, and was named above.
    if opened.problem is not None and now.state != "away":
        yield Missing(f"open sessions cannot be seen: {opened.problem.what}", opened.problem.remedy)
