"""Forgetting a session (T10): what Redis holds of it, the record that drops it, and what the topics keep."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from typing import NamedTuple

from clickstream.consumer.state_reader import StateReader
from clickstream.infra.kafka import Admin, Producer, Topic, partition_for
from clickstream.infra.placement import places_of
from clickstream.infra.settings import Settings, format_duration
from clickstream.records.click import Forget


class HeldSession(NamedTuple):
    """What Redis holds of a session on one partition.

    Attributes:
        newest: the largest event time of the partition, ms; None where nothing of it was ever processed.
        opened_at: event time of its first click, ms; None where nothing is open.
        clicks: of what is open.
        known_until: up to this event time, ms, the session is known by name: windows of it that were closed
            early, or may lack clicks. None: it is not.
    """

    partition: int
    newest: int | None
    opened_at: int | None
    clicks: int
    known_until: int | None


class KeptRecords(NamedTuple):
    """Where a topic may hold records of a session, and what its settings say of how long."""

    topic: str
    partitions: tuple[int, ...]
    how_long: str


def held(reader: StateReader, session_id: str, partitions: int) -> list[HeldSession]:
    """Of each partition where something of it is open, or where its key belongs.

    Raises:
        UnavailableError: Redis does not answer.
        RefusedError: what is stored is damaged, or of another version.
    """
    key = session_id.encode()
    everywhere = {*reader.holders(session_id, range(partitions)), *places_of(key, partitions)}
    return [_held(reader, session_id, partition) for partition in sorted(everywhere)]


def _held(reader: StateReader, session_id: str, partition: int) -> HeldSession:
    found = reader.read(partition, [session_id])
    meta, session = found.meta, found.sessions.get(session_id)
    clicks, opened_at = 0, None
    if session is not None:
        clicks = len(session.pending) + (session.window.clicks if session.window else 0)
        first = session.window.opened_at if session.window else session.pending[0].click.event_time
        opened_at = int(first)
    names = {} if meta is None else meta.doubtful | meta.early
    newest = None if meta is None else meta.newest
    return HeldSession(partition, newest, opened_at, clicks, names.get(session_id))


def publish(settings: Settings, session_id: str, found: Collection[HeldSession]) -> None:
    """Write the record that drops the session onto each of the partitions, acknowledged.

    Raises:
        UnavailableError: not all of it was.
    """
    value = Forget(session_id=session_id).model_dump_json().encode()
    with closing(Producer(settings)) as producer:
        for one in found:
            # No time of ours: in a replay the log has that of its clicks.
            at = None if one.newest is None else max(one.newest, 0)
            producer.send(settings.clicks_topic, one.partition, session_id.encode(), value, timestamp=at)
        producer.flush()


def kept(
    admin: Admin, settings: Settings, clicks: Topic, session_id: str, partitions: Collection[int]
) -> Iterator[KeptRecords]:
    """What each topic that is there may hold of a session whose clicks lie on these partitions.

    Raises:
        UnavailableError, ConfigurationError: Kafka cannot be asked.
    """
    names = (settings.clicks_topic, settings.scores_topic, settings.open_scores_topic)
    for name in (*names, settings.dead_letter_topic):
        topic = admin.describe_topic(name)
        if topic is None:
            continue
        if topic.partitions == clicks.partitions and name != settings.dead_letter_topic:
            where = tuple(sorted(partitions))
        else:
            where = (partition_for(session_id.encode(), topic.partitions),)
        config = admin.topic_config(name)
        yield KeptRecords(name, where, _how_long(config.get("cleanup.policy", ""), config["retention.ms"]))


def _how_long(policy: str, retention: str) -> str:
    words = []
    if "compact" in policy:
        words.append("compacted: the last record of each key for ever")
    if "delete" in policy or not policy:
        forever = int(retention) < 0
        words.append("for ever (retention.ms -1)" if forever else f"for {format_duration(int(retention))}")
    return ", ".join(words)
