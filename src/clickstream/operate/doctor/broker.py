"""What Kafka must be set to: its topics, its limits, and where the group stands in the log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing

from clickstream.consumer.refusals import start_over_command
from clickstream.infra.days import DAY_MS
from clickstream.infra.errors import ConfigurationError
from clickstream.infra.kafka import Admin, CommittedOffset, Reader, Topic, codecs
from clickstream.infra.settings import Settings, format_duration, opens
from clickstream.infra.words import counted
from clickstream.operate.doctor.check import Check, unread


def check_broker(settings: Settings, admin: Admin) -> Iterator[Check]:
    """Check the limits of the broker that transactions and the group depend on."""
    try:
        config = admin.broker_config()
    except ConfigurationError as error:
        yield unread("kafka", "the brokers", error)
        return
    longest = int(config.get("transaction.max.timeout.ms", 900_000))
    if longest >= settings.patience:
        yield Check("kafka", "ok", f"transaction.max.timeout.ms {longest} allows for patience")
    else:
        yield Check(
            "kafka",
            "fail",
            f"transaction.max.timeout.ms is {longest}, below patience ({settings.patience} ms): no"
            " transaction can begin",
            f"Set CLICKSTREAM_PATIENCE to at most {longest}ms, or raise the broker's limit.",
        )
    shortest = int(config.get("group.min.session.timeout.ms", 6_000))
    if shortest <= settings.session_timeout:
        yield Check("kafka", "ok", f"group.min.session.timeout.ms {shortest} allows for session_timeout")
    else:
        yield Check(
            "kafka",
            "fail",
            f"group.min.session.timeout.ms is {shortest}, above session_timeout"
            f" ({settings.session_timeout} ms): no consumer can join",
            f"Set CLICKSTREAM_SESSION_TIMEOUT to {shortest}ms or more, or lower the broker's limit.",
        )
    copies = int(config.get("transaction.state.log.replication.factor", 1))
    if copies == 1:
        yield Check(
            "kafka",
            "info",
            "the broker keeps one copy of offsets and transactions: with its disk goes the proof of what was"
            " published",
            "For production: three brokers, replication factor 3, min.insync.replicas 2.",
        )


def check_topics(settings: Settings, admin: Admin, clicks: Topic | None, survive: int) -> Iterator[Check]:
    """Check the three topics; `survive` is the longest loss of Redis to get over, in ms."""
    if clicks is None:
        yield Check(
            "topics",
            "warn",
            f"there is no topic {settings.clicks_topic}",
            "The first `clickstream replay` or `clickstream consume` creates it, set as it must be.",
        )
        return
    yield Check("topics", "ok", f"{clicks.name} has {clicks.partitions} partitions")
    try:
        yield from _clicks_config(settings, admin.topic_config(clicks.name), survive)
    except ConfigurationError as error:
        yield unread("topics", clicks.name, error)
    yield from _behind(settings, admin, clicks)
    scores = admin.describe_topic(settings.scores_topic)
    if scores is None:
        yield _absent(settings.scores_topic)
    elif scores.partitions != clicks.partitions:
        yield Check(
            "topics",
            "warn",
            f"{scores.name} has {scores.partitions} partitions, {clicks.name} has {clicks.partitions}: a"
            " score is not in the partition of its clicks",
            "Nothing is lost. To have them side by side, create the scores topic anew with as many.",
        )
    else:
        yield Check("topics", "ok", f"{scores.name} has as many partitions as {clicks.name}")
    if opens(settings) and admin.describe_topic(settings.open_scores_topic) is None:
        yield _absent(settings.open_scores_topic)
    if admin.describe_topic(settings.dead_letter_topic) is None:
        yield _absent(settings.dead_letter_topic)
    else:
        yield Check("topics", "ok", f"{settings.dead_letter_topic} is there")


def _absent(topic: str) -> Check:
    return Check(
        "topics", "warn", f"there is no topic {topic}", "The first `clickstream consume` creates it."
    )


def _clicks_config(settings: Settings, config: Mapping[str, str], survive: int) -> Iterator[Check]:
    name = settings.clicks_topic
    least = settings.rebuild_horizon + survive
    horizon, loss = format_duration(settings.rebuild_horizon), format_duration(survive)
    kept = int(config.get("retention.ms", -1))
    if kept < 0 or kept >= least:
        words = "for ever" if kept < 0 else format_duration(kept)
        yield Check("topics", "ok", f"{name} keeps records {words} (retention.ms {kept})")
    else:
        yield Check(
            "topics",
            "fail",
            f"{name} keeps records {format_duration(kept)} (retention.ms {kept}): after a loss of Redis of"
            f" {loss}, the log would not reach back {horizon} to rebuild what was open",
            _alter(settings, f"retention.ms={least}"),
        )
    size = int(config.get("retention.bytes", -1))
    if size >= 0:
        yield Check(
            "topics",
            "warn",
            f"{name} is cut at {counted(size, 'byte')} a partition, however young its records are"
            f" (retention.bytes)",
            _alter(settings, "retention.bytes=-1"),
        )
    if "compact" in config.get("cleanup.policy", "delete"):
        yield Check(
            "topics",
            "fail",
            f"{name} is compacted: of each session the log forgets all clicks but the last",
            _alter(settings, "cleanup.policy=delete"),
        )
    yield _compression(settings, config.get("compression.type", "producer"))
    oldest = _oldest(settings, int(config.get("message.timestamp.before.max.ms", (1 << 63) - 1)))
    if oldest is not None:
        yield oldest
    yield _ahead(settings, int(config.get("message.timestamp.after.max.ms", (1 << 63) - 1)))


def _compression(settings: Settings, on_topic: str) -> Check:
    """Whether every batch can be unpacked here, whoever compresses it: the sender, or the broker again."""
    known = codecs()
    missing = sorted(name for name, there in known.items() if not there)
    by = "as its senders do" if on_topic == "producer" else f"with {on_topic}"
    text = f"{settings.clicks_topic} is compressed {by} (compression.type {on_topic})"
    if on_topic not in ("producer", "uncompressed") and not known.get(on_topic, False):
        return Check(
            "topics",
            "fail",
            f"{text}, which cannot be unpacked here",
            _alter(settings, "compression.type=producer"),
        )
    if missing and on_topic == "producer":
        return Check(
            "topics",
            "fail",
            f"{text}; {' and '.join(missing)} cannot be unpacked here: one such batch ends its partition",
            "Install the locked packages anew: `make install`.",
        )
    return Check("topics", "ok", f"{text}; {', '.join(n for n in known if n != 'none')} can be unpacked")


def _oldest(settings: Settings, allowed: int) -> Check | None:
    """Whether the broker takes idle heartbeats, whose Kafka timestamp is event time."""
    if allowed > settings.rebuild_horizon:
        return None
    return Check(
        "topics",
        "warn",
        f"message.timestamp.before.max.ms of {settings.clicks_topic} is {allowed}: the broker refuses clicks"
        f" and heartbeats with a timestamp {format_duration(allowed)} old, and no dead letter tells of them",
        _alter(settings, f"message.timestamp.before.max.ms={(1 << 63) - 1}"),
    )


def _ahead(settings: Settings, allowed: int) -> Check:
    name = f"message.timestamp.after.max.ms of {settings.clicks_topic}"
    remedy = _alter(settings, f"message.timestamp.after.max.ms={settings.max_ahead}")
    if allowed == settings.max_ahead:
        return Check("topics", "ok", f"{name} is max_ahead ({format_duration(allowed)})")
    if allowed > settings.max_ahead:
        return Check(
            "topics",
            "fail",
            f"{name} is {allowed}, above max_ahead ({settings.max_ahead}): one wrong clock can close"
            " everybody's sessions (T8)",
            remedy,
        )
    return Check(
        "topics",
        "warn",
        f"{name} is {allowed}, below max_ahead ({settings.max_ahead}): the broker refuses clicks that the"
        " rules would take, and no dead letter tells of them",
        remedy,
    )


def _behind(settings: Settings, admin: Admin, clicks: Topic) -> Iterator[Check]:
    if settings.max_behind:
        yield Check("topics", "ok", f"max_behind is {format_duration(settings.max_behind)}")
        return
    newest = max((end.newest or 0 for end in admin.log_ends(clicks).values()), default=0)
    if newest > time.time() * 1_000 - DAY_MS:
        yield Check(
            "topics",
            "info",
            f"{clicks.name} takes records of today, and max_behind is off: a click whose event time is years"
            " old is counted, into a visit of its own or among the late (T8)",
            "For a live shop set CLICKSTREAM_MAX_BEHIND, say 7d: first `clickstream drain`, then the same for"
            " every consumer and audit. Not while clicks of the past are sent with timestamps of today.",
        )


def _alter(settings: Settings, value: str) -> str:
    return (
        f"kafka-configs.sh --bootstrap-server {settings.kafka_bootstrap} --alter --entity-type topics"
        f" --entity-name {settings.clicks_topic} --add-config {value}"
    )


def log_range(settings: Settings) -> dict[int, tuple[int, int]]:
    """First offset and the one after the last, of each partition of the clicks topic."""
    with closing(Reader(settings, settings.clicks_topic)) as reader:
        begin, end = reader.beginning_offsets(), reader.end_offsets()
    return {partition: (begin[partition], end[partition]) for partition in begin}


def check_group(
    settings: Settings,
    admin: Admin,
    log: Mapping[int, tuple[int, int]],
    offsets: Mapping[int, CommittedOffset],
) -> Iterator[Check]:
    """Check that the log holds what the group reads next, and how far behind it is."""
    if not offsets:
        yield Check("group", "info", f"{settings.group} has committed nothing on {settings.clicks_topic} yet")
        return
    lost = False
    for partition, (begin, end) in sorted(log.items()):
        offset = offsets[partition].offset if partition in offsets else begin
        if not begin <= offset <= end:
            lost = True
            why = (
                f"{begin - offset:,} records were deleted before they were read"
                if offset < begin
                else "the log was cut or the topic created anew"
            )
            yield Check(
                "group",
                "fail",
                f"{settings.group} stands at offset {offset} of partition {partition}, the log holds {begin}"
                f" to {end}: {why}",
                f"Stop the consumers, then {start_over_command(partition)} (what the log still holds of"
                " what was scored is scored again).",
            )
    if not lost:
        lag = sum(end - offsets[p].offset if p in offsets else end - begin for p, (begin, end) in log.items())
        members = admin.group_members(settings.group)
        yield Check("group", "ok", f"{settings.group}: {members} consumers, {counted(lag, 'record')} behind")
