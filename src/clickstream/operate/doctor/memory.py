"""What Redis must be set to, and whether the state in it fits the settings and the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import Any

from clickstream.consumer.note import read_note
from clickstream.consumer.refusals import start_over_command
from clickstream.consumer.state_format import Meta
from clickstream.consumer.store import Store
from clickstream.infra.errors import ConfigurationError, RefusedError
from clickstream.infra.kafka import CommittedOffset, Topic
from clickstream.infra.redis import connect, translated
from clickstream.infra.redis_address import address
from clickstream.infra.settings import Settings, format_duration
from clickstream.infra.words import counted
from clickstream.operate.doctor.check import Check, failed
from clickstream.windows.fingerprint import rules_text

_POLICY = "maxmemory-policy"
_OLDEST = 7
_FULL = 0.8


def check_redis(settings: Settings) -> Iterator[Check]:
    """Check version, eviction, persistence and room of each node.

    Raises:
        UnavailableError, ConfigurationError: it cannot be asked.
    """
    with closing(connect(settings)) as client:
        with translated("asking for INFO", settings):
            nodes = _by_node(settings, "redis_version", client.info, client)
        for node, info in nodes.items():
            yield from _server(settings, info, node)
        try:
            with translated("asking for CONFIG", settings):
                ask = partial(client.config_get, _POLICY)
                policies = _by_node(settings, _POLICY, ask, client)
        except (RefusedError, ConfigurationError) as error:
            yield Check(
                "redis",
                "warn",
                f"{_POLICY} cannot be read ({error.what})",
                "Make sure that it is noeviction: an evicted session is a wrong score.",
            )
        else:
            for node, config in policies.items():
                yield _eviction(node, config[_POLICY])


def _by_node(
    settings: Settings, a_name: str, ask: Callable[..., Any], client: Any
) -> dict[str, dict[str, Any]]:
    """What each node answers; `a_name` is in every answer."""
    if settings.redis_sentinel_service is not None:
        host, port = client.connection_pool.get_master_address()
        return {f"Redis at {host}:{port}": ask()}
    if not settings.redis_cluster:
        return {f"Redis at {address(settings)}": ask()}
    found: dict[str, Any] = ask(target_nodes=client.PRIMARIES)
    # One node answers plainly, more by their names.
    return {f"the cluster at {address(settings)}": found} if a_name in found else found


def _server(settings: Settings, info: Mapping[str, Any], node: str) -> Iterator[Check]:
    version = str(info["redis_version"])
    product = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    if int(version.split(".")[0]) >= _OLDEST:
        yield Check("redis", "ok", f"{node} answers: {product}")
    else:
        yield Check("redis", "fail", f"{node} is {product}", "Upgrade it to Redis 7, or any Valkey.")
    if info.get("aof_enabled"):
        yield Check("redis", "ok", f"{node} keeps its state on disk (appendonly yes)")
    else:
        horizon = format_duration(settings.rebuild_horizon)
        yield Check(
            "redis",
            "warn",
            f"{node} keeps nothing on disk (appendonly no): each restart of it costs a replay of the"
            f" last {horizon} of event time, the online models' lessons, and whole scores of sessions longer"
            " than that",
            "redis-cli CONFIG SET appendonly yes && redis-cli CONFIG SET appendfsync everysec",
        )
    used, most = int(info["used_memory"]), int(info.get("maxmemory", 0))
    mega = f"{used / 1e6:,.1f} MB"
    if not most:
        yield Check("redis", "ok", f"{node} uses {mega}; no maxmemory")
    elif used < _FULL * most:
        yield Check("redis", "ok", f"{node} uses {mega} of {most / 1e6:,.1f} MB")
    else:
        yield Check(
            "redis",
            "warn",
            f"{node} uses {mega} of {most / 1e6:,.1f} MB; when it is full, scoring stops until there is room",
            "Raise maxmemory.",
        )


def _eviction(node: str, policy: str) -> Check:
    if policy == "noeviction":
        return Check("redis", "ok", f"{node} has {_POLICY} noeviction")
    return Check(
        "redis",
        "fail",
        f"{node} has {_POLICY} {policy}: when memory is short, open sessions are deleted",
        f"redis-cli CONFIG SET {_POLICY} noeviction   (and in redis.conf)",
    )


def read_partition_state(settings: Settings, topic: Topic) -> dict[int, Meta | RefusedError]:
    """What Redis knows of each partition, or why it cannot be used.

    Raises:
        UnavailableError, ConfigurationError: Redis cannot be asked.
    """
    found: dict[int, Meta | RefusedError] = {}
    with closing(Store(settings, topic.id)) as store:
        for partition in range(topic.partitions):
            try:
                found[partition] = store.peek(partition)
            except RefusedError as error:
                found[partition] = error
    return found


def check_partition_state(
    settings: Settings,
    topic: Topic,
    state: Mapping[int, Meta | RefusedError],
    offsets: Mapping[int, CommittedOffset],
    log: Mapping[int, tuple[int, int]],
) -> Iterator[Check]:
    """Check that consumers would go on with the state in Redis, and could rebuild it from the log.

    What was read in this order, state, offsets, log, agrees also while consumers work.
    """
    found = open_sessions = 0
    problems: list[Check] = []
    for partition, meta in state.items():
        if isinstance(meta, RefusedError):
            problems.append(failed("state", meta))
            continue
        found += meta.applied is not None
        open_sessions += meta.open_sessions
        problems += _partition(
            settings, topic, partition, meta, offsets.get(partition), log.get(partition, (0, 0))[0]
        )
    yield from problems
    if not problems:
        if found:
            words = (
                f"{counted(open_sessions, 'open session')} in {found} partitions, under the present settings"
            )
            yield Check("state", "ok", words)
        else:
            yield Check("state", "info", f"group {settings.group} has no state in Redis")


def _partition(
    settings: Settings,
    topic: Topic,
    partition: int,
    meta: Meta,
    committed: CommittedOffset | None,
    begin: int,
) -> Iterator[Check]:
    where = f"partition {partition}"
    now = rules_text(settings)
    note = read_note(committed)
    open_, before, partitions = meta.open_sessions, meta.settings, meta.partitions
    if meta.applied is None and note is not None:
        open_, before, partitions = note.open, note.settings, note.partitions
    if open_ and before and (before != now or partitions != topic.partitions):
        yield Check(
            "state",
            "fail",
            f"{where} has {counted(open_, 'open session')} under other settings: {_changes(before, now)}"
            if before != now
            else f"{where} has {counted(open_, 'open session')} from when {topic.name} had"
            f" {partitions} partitions,"
            f" not {topic.partitions}",
            "Consumers will refuse it. Start them with the former values, run `clickstream drain`, then start"
            " with the new ones.",
        )
    if meta.published is not None and (committed is None or committed.offset < meta.published):
        at = "there is none now" if committed is None else f"it is {committed.offset} now"
        yield Check(
            "state",
            "fail",
            f"{where}: scores are published up to offset {meta.published}, but of the group's committed"
            f" offset {at}: it was set back or has expired",
            f"Set it to {meta.published} again, or {start_over_command(partition)}.",
        )
    applied = meta.applied
    if committed is not None and note is None and applied is not None and committed.offset > applied:
        yield Check(
            "state",
            "fail",
            f"{where}: the group's committed offset {committed.offset} was set by a tool; the records from"
            f" {applied} to there would never be scored",
            f"Set it to {applied} again; to begin there: {start_over_command(partition, 'committed')}.",
        )
    if meta.applied is not None and meta.applied < begin:
        yield Check(
            "state",
            "fail",
            f"{where}: the state in Redis goes on at offset {meta.applied}, the log begins at {begin}",
            f"Retention deleted what lies between. Stop the consumers, then {start_over_command(partition)}.",
        )
    if note is not None and note.open and note.rebuild_point is not None and note.rebuild_point[0] < begin:
        lost = meta.applied is None
        yield Check(
            "state",
            "fail" if lost else "warn",
            f"{where}: to rebuild {counted(note.open, 'open session')} the log is needed from offset"
            f" {note.rebuild_point[0]},"
            f" it begins at {begin}",
            f"Redis is empty: stop the consumers, then {start_over_command(partition)}."
            if lost
            else "Lengthen the retention of the clicks topic, or shorten CLICKSTREAM_REBUILD_HORIZON.",
        )


def _changes(before: str, now: str) -> str:
    old, new = (dict(pair.partition("=")[::2] for pair in text.split(";")) for text in (before, now))
    return ", ".join(
        f"{name} was {old.get(name)} and is {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )
