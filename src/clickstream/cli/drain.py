"""`clickstream drain`: close every open session, so that settings or partitions may change."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Annotated

import orjson
import typer
from rich.console import Console

from clickstream.bundles.bundle import load_bundle
from clickstream.cli.options import Shop
from clickstream.consumer.admission import open_rules
from clickstream.consumer.refusals import SettingsChangedError
from clickstream.consumer.state_format import DamagedError
from clickstream.consumer.store import Store
from clickstream.infra import logs
from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.kafka import Admin, Member, Producer, Reader, Topic
from clickstream.infra.settings import Settings, load_settings, parse_duration
from clickstream.local.servers import with_running_servers
from clickstream.operate.draining import behind, rule_sets, serve_partitions
from clickstream.windows.fingerprint import rule_differences, rules_of_member


def drain(
    group: Annotated[str | None, typer.Option(help="Consumer group.")] = None,
    shop: Shop = None,
    wait: Annotated[str, typer.Option(help="How long to wait for the consumers, as 60s.")] = "60s",
) -> None:
    """Close all open sessions of the group, each by the rules that it was opened under.

    Writes a flush heartbeat on every partition and waits until it is committed: by the running consumers, or,
    where none runs, by this command, which then scores like one.
    Stop the producers first: what they send afterwards opens new sessions.
    """
    settings = with_running_servers(load_settings(group=group, shop=shop))
    logs.configure(settings)
    console = Console(stderr=True)
    with closing(Admin(settings)) as admin:
        topic = admin.describe_topic(settings.clicks_topic)
        if topic is None:
            raise ConfigurationError(
                f"there is no topic {settings.clicks_topic}",
                "Check CLICKSTREAM_CLICKS_TOPIC; nothing to drain.",
            )
        with closing(Store(settings, topic.id)) as store:
            found = {p: described for p, (described, _) in open_rules(settings, topic, store).items()}
            members = admin.group_state(settings.group, topic.name).members
            if members:
                _check_served(settings, members, found)
            sets = [(settings, set(range(topic.partitions)))]
            if not members:
                sets = rule_sets(settings, topic.partitions, found)
            bundle = None if members else load_bundle(settings)
            ends = _flush(settings, topic, store)
            deadline = time.monotonic() + parse_duration(wait) / 1000
            for those, partitions in sets:
                done = partial(_done, admin, those, {p: ends[p] for p in partitions}, deadline, wait)
                if bundle is not None:
                    serve_partitions(those, bundle, partitions, done)
                else:
                    while not done():
                        pass
            open_ = sum(store.peek(p).open_sessions for p in range(topic.partitions))
            console.print(f"drained {topic.partitions} partitions of {topic.name}; {open_} sessions open")


def _check_served(settings: Settings, members: Sequence[Member], found: Mapping[int, str]) -> None:
    theirs = {rules_of_member(member.rules) for member in members}
    unserved = {p: described for p, described in found.items() if described not in theirs}
    if unserved and "" not in theirs:
        partition, described = min(unserved.items())
        raise SettingsChangedError(
            f"partitions {sorted(unserved)} have open sessions under rules that no running consumer of group"
            f" {settings.group} has ({partition}: {rule_differences(described, min(theirs))} there)",
            "Stop the consumers and drain again: without consumers, drain scores by the rules of each"
            " partition itself.",
        )


def _flush(settings: Settings, topic: Topic, store: Store) -> dict[int, int]:
    """The ends of the log, behind the flush of each partition."""
    with closing(Producer(settings)) as producer, closing(Reader(settings, topic.name)) as reader:
        for partition in range(topic.partitions):
            try:
                # No event time of ours: the newest one seen keeps the watermark where it is.
                newest = max(store.peek(partition).newest, 0)
            except DamagedError:
                newest = 0
            producer.send(
                topic.name,
                partition,
                None,
                orjson.dumps({"type": "heartbeat", "event_time": newest, "flush": True}),
                timestamp=newest,
            )
        producer.flush()
        return reader.end_offsets()


def _done(admin: Admin, settings: Settings, ends: Mapping[int, int], deadline: float, wait: str) -> bool:
    """Whether all is committed; where it is not, a moment has passed."""
    left = behind(admin, settings, ends)
    if left and time.monotonic() > deadline:
        raise UnavailableError(
            f"partitions {left} of {settings.clicks_topic} were not drained within {wait}",
            f"Do the consumers of group {settings.group} run, and serve these partitions (see /readyz or the"
            " log)? Without consumers, drain does it itself. The flush is in the log: nothing is lost.",
        )
    if left:
        time.sleep(0.1)
    return not left
