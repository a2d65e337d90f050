"""`clickstream forget`: drop what is open of a session, and say what else is kept of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from clickstream.cli.options import Shop
from clickstream.consumer.state_reader import StateReader
from clickstream.infra import logs
from clickstream.infra.errors import ConfigurationError, UnavailableError, UsageError
from clickstream.infra.kafka import Admin, Topic
from clickstream.infra.settings import Settings, load_settings, parse_duration
from clickstream.infra.words import counted
from clickstream.local.servers import with_running_servers
from clickstream.operate.draining import behind
from clickstream.operate.forgetting import HeldSession, held, kept, publish
from clickstream.records.shops import load_shop
from clickstream.terminal.printable import plain

_LONGEST_ID = 256


def forget(
    session_id: Annotated[str, typer.Argument(metavar="SESSION", help="Its id, as its clicks carry it.")],
    group: Annotated[str | None, typer.Option(help="Consumer group.")] = None,
    shop: Shop = None,
    wait: Annotated[str, typer.Option(help="How long to wait for the consumers, as 60s.")] = "60s",
) -> None:
    """Drop what is open of a session, unscored, and say what is kept of it elsewhere.

    Writes a record of type `forget` onto the clicks topic and waits until a consumer has taken it: so it
    holds after a loss of Redis as well. Stop who sends clicks of the session first: one that comes later
    begins a visit anew. Kafka cannot delete single records: what the topics hold, and for how long, is
    printed.

    Exit codes: 0 Redis holds nothing of it that is open; 1 clicks came after it; 69 no consumer has taken the
    record yet, and it waits in the log.
    """
    if not 1 <= len(session_id) <= _LONGEST_ID:
        raise UsageError(f"a session id has 1 to {_LONGEST_ID} characters", "Give the one of its clicks.")
    settings = with_running_servers(load_settings(group=group, shop=shop))
    logs.configure(settings)
    console = Console(highlight=False, soft_wrap=True)
    with closing(Admin(settings)) as admin:
        topic = admin.describe_topic(settings.clicks_topic)
        if topic is None:
            raise ConfigurationError(
                f"there is no topic {settings.clicks_topic}",
                "Check CLICKSTREAM_CLICKS_TOPIC; nothing to forget.",
            )
        with closing(StateReader(settings, topic.id, load_shop(settings.shop))) as reader:
            before = held(reader, session_id, topic.partitions)
            console.print(f"Redis holds of session {plain(session_id)}: {_words(before)}")
            partitions = [one.partition for one in before]
            publish(settings, session_id, before)
            _say_what_is_kept(admin, settings, topic, session_id, partitions, console)
            _wait(admin, settings, topic, partitions, wait)
            after = held(reader, session_id, topic.partitions)
    console.print(f"A consumer has taken the record. Redis holds now: {_words(after)}")
    if any(one.clicks for one in after):
        console.print("Clicks came after it and began it anew. Stop who sends them, and forget it again.")
        raise typer.Exit(1)


def _words(found: Sequence[HeldSession]) -> str:
    words = []
    for one in found:
        if one.opened_at is not None:
            since = f"open since {_time(one.opened_at)}"
            words.append(f"{counted(one.clicks, 'click')} on partition {one.partition}, {since}")
        if one.known_until is not None:
            words.append(
                f"its id on partition {one.partition}, until event time passes {_time(one.known_until)}"
                " (a window was closed early: it is not to be scored twice)"
            )
    return "; ".join(words) or "nothing"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "milliseconds").replace("+00:00", " UTC")


def _say_what_is_kept(
    admin: Admin,
    settings: Settings,
    topic: Topic,
    session_id: str,
    partitions: Sequence[int],
    console: Console,
) -> None:
    console.print("Kafka cannot delete single records. What it may hold of the session, and for how long:")
    for one in kept(admin, settings, topic, session_id, partitions):
        where = ", ".join(map(str, one.partitions))
        console.print(f"  {plain(one.topic)}, partition {where}: {one.how_long}")
    console.print(
        f"The record that forgets it, with its id, is on {plain(settings.clicks_topic)} from now on. Bundles"
        " and online models hold no session ids; what they learned from it stays in their weights."
        " Files that `score` and `sessions` wrote, and your logs, are yours to delete."
    )


def _wait(admin: Admin, settings: Settings, topic: Topic, partitions: Sequence[int], wait: str) -> None:
    ends = {p: end.offset for p, end in admin.log_ends(topic).items() if p in partitions}
    if not admin.group_state(settings.group, topic.name).members:
        raise UnavailableError(
            f"no consumer of group {settings.group} runs: Redis holds what it held",
            f"The record is in the log (partition {', '.join(map(str, partitions))}): the next consumer drops"
            " the session when it reads on, and a rebuild does. Start one, and ask again.",
        )
    deadline = time.monotonic() + parse_duration(wait) / 1000
    while left := behind(admin, settings, ends):
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"partitions {left} of {settings.clicks_topic} were not read up to the record within {wait}",
                f"Do the consumers of group {settings.group} run, and serve these partitions (see /readyz or"
                " the log)? The record is in the log, and is taken when they come to it.",
            )
        time.sleep(0.1)
