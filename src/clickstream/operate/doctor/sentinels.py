"""Who is master now, by the Sentinels; whether they agree, and whether another one could take over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import redis

from clickstream.infra.redis import connect, sentinels_of, translated
from clickstream.infra.settings import Settings
from clickstream.infra.words import counted
from clickstream.operate.doctor.check import Check

Host = tuple[str, int]

_FAR_S = 10
"""Seconds without a word of a replica. Redis itself calls a link broken after 60 s."""


def check_sentinels(settings: Settings) -> Iterator[Check]:
    """Check each Sentinel of the URL, the master that they name, and its replicas.

    Raises:
        UnavailableError, ConfigurationError: the master cannot be asked.
    """
    service = settings.redis_sentinel_service
    if service is None:
        return
    named: dict[Host, list[str]] = {}
    for where, sentinel in _each(settings):
        try:
            found = sentinel.sentinel_master(service)
            named.setdefault((found["ip"], int(found["port"])), []).append(where)
            sentinel.sentinel_ckquorum(service)
        except redis.ResponseError as error:
            yield Check(
                "redis",
                "fail",
                f"the Sentinel at {where} could not make another master of {service} ({error})",
                "Start the Sentinels that are away, and check CLICKSTREAM_REDIS_SENTINEL_SERVICE.",
            )
        except redis.RedisError as error:
            yield Check(
                "redis",
                "warn",
                f"the Sentinel at {where} does not answer ({error})",
                "Start it: when most of them are away, no replica takes over from a master that dies.",
            )
    if len(named) > 1:
        views = "; ".join(f"{_text(host)} by {', '.join(who)}" for host, who in named.items())
        yield Check(
            "redis",
            "warn",
            f"the Sentinels name different masters of {service}: {views}",
            "A failover is under way, or some of them do not reach the others. Look again in a minute.",
        )
    with closing(connect(settings)) as client:
        host = client.connection_pool.get_master_address()
        with translated("asking the master for INFO", settings):
            info = client.info("replication")
    by = len(named.get(host, ()))
    yield Check("redis", "ok", f"{counted(by, 'Sentinel')} of the URL: master of {service} is {_text(host)}")
    yield from _replicas(info, _text(host))


def data_hosts(settings: Settings) -> Sequence[Host]:
    """The master and its replicas as the first Sentinel that answers has them; empty where there is none."""
    service = settings.redis_sentinel_service
    for _, sentinel in _each(settings) if service is not None else ():
        try:
            found = [sentinel.sentinel_master(service), *sentinel.sentinel_slaves(service)]
        except redis.RedisError:
            continue
        return [(one["ip"], int(one["port"])) for one in found]
    return ()


def _each(settings: Settings) -> Iterator[tuple[str, Any]]:
    for sentinel in sentinels_of(settings).sentinels:
        given = sentinel.connection_pool.connection_kwargs
        with closing(sentinel):
            yield _text((given["host"], given["port"])), sentinel


def _replicas(info: Mapping[str, Any], master: str) -> Iterator[Check]:
    written = int(info["master_repl_offset"])
    replicas = [info[f"slave{number}"] for number in range(int(info["connected_slaves"]))]
    if not replicas:
        yield Check(
            "redis",
            "warn",
            f"the master at {master} has no replica: when it dies, scoring waits until it is back",
            "Start a replica (replicaof), and look at the log of one that runs.",
        )
    for one in replicas:
        where = _text((one["ip"], int(one["port"])))
        behind = counted(max(0, written - int(one["offset"])), "byte")
        if one["state"] == "online" and int(one["lag"]) < _FAR_S:
            yield Check("redis", "ok", f"its replica at {where} is {behind} behind, heard {one['lag']} s ago")
        else:
            yield Check(
                "redis",
                "warn",
                f"its replica at {where} is {behind} behind, {one['state']}, heard {one['lag']} s ago",
                "What it lacks when it takes over is replayed from the log; the further behind, the longer.",
            )


def _text(host: Host) -> str:
    return f"{host[0]}:{host[1]}"
