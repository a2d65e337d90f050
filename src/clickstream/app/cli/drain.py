"""`clickstream drain`: close every open session, so that settings or partitions may change."""

from __future__ import annotations

import time
from typing import Annotated

import orjson
import typer
from rich.console import Console

from clickstream.app.servers import with_running_servers
from clickstream.consumer.store import Store
from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.kafka import Admin, Producer, Reader
from clickstream.infra.settings import load_settings, parse_duration


def drain(
    group: Annotated[str | None, typer.Option(help="Consumer group.")] = None,
    wait: Annotated[str, typer.Option(help="How long to wait for the consumers, as 60s.")] = "60s",
) -> None:
    """Close all open sessions of the group, with their present settings.

    Writes a flush heartbeat on every partition and waits until the running consumers have committed it.
    Stop the producers first: what they send afterwards opens new sessions.
    """
    settings = with_running_servers(load_settings(group=group))
    console = Console(stderr=True)
    admin = Admin(settings)
    topic = admin.describe_topic(settings.clicks_topic)
    if topic is None:
        raise ConfigurationError(
            f"there is no topic {settings.clicks_topic}", "Check CLICKSTREAM_CLICKS_TOPIC; nothing to drain."
        )
    store = Store(settings, topic.id)
    producer = Producer(settings)
    reader = Reader(settings, topic.name)
    try:
        for partition in range(topic.partitions):
            # No event time of ours: the newest one seen keeps the watermark where it is.
            newest = max(store.peek(partition).newest, 0)
            producer.send(
                topic.name,
                partition,
                None,
                orjson.dumps({"type": "heartbeat", "event_time": newest, "flush": True}),
                timestamp=newest,
            )
        producer.flush()
        ends = reader.end_offsets()
        deadline = time.monotonic() + parse_duration(wait) / 1000
        while True:
            offsets = admin.group_offsets(settings.group, topic.name)
            behind = [p for p, end in ends.items() if p not in offsets or offsets[p].offset < end]
            if not behind:
                break
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"partitions {behind} of {topic.name} were not drained within {wait}",
                    f"Are consumers of group {settings.group} running, with the settings they had? The flush"
                    " is in the log: they will drain when they come.",
                )
            time.sleep(0.1)
        open_ = sum(store.peek(p).open_sessions for p in range(topic.partitions))
        console.print(f"drained {topic.partitions} partitions of {topic.name}; {open_} sessions open")
    finally:
        reader.close()
        producer.close()
        store.close()
        admin.close()
