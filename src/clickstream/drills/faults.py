"""The faults: what each does to the system.

A fault is a generator. It yields when its cause is gone (the process was killed, the network is back, the
broker runs again); the drill then measures how long it takes until every partition makes progress, and goes
on with it, so that it can put back what it took away.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Literal

import redis

from clickstream.drills.cluster_faults import CLUSTER_FAULTS, ROLES, await_whole
from clickstream.drills.redis_faults import FAILOVERS
from clickstream.drills.stage import Consumer, DrillFault, DrillStage, NotPossibleError, NotReachedError
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.failpoints import FAILPOINTS
from clickstream.local.child import HOST
from clickstream.local.embedded import Persistence

_DEADLINE_S = 120.0
# In a claim, there are as many passes as the consumer has partitions.
_MOST_PASSES = {
    "after_claim": 2,
    "after_wipe": 2,
    "after_reconcile": 2,
    "after_republish": 1,
    "after_revoke": 1,
    "after_give_up": 1,
    "after_fence": 1,
}
_USUAL_PASSES = 4
_OCCASION_EVERY_S = 3.0
_INHERITED_WITHIN_S = 15.0
_SLOW_S = 0.05


def kill(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """kill -9 a consumer; it is started again at once"""
    _die(_someone(stage, rng))
    yield


def lose(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """kill -9 a consumer; it stays away until the others have its partitions"""
    consumer = _someone(stage, rng)
    consumer.wanted = False
    _die(consumer)
    yield
    consumer.wanted = True


def pause(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """SIGSTOP a consumer beyond the session timeout, then SIGCONT: a zombie"""
    consumer = _someone(stage, rng)
    process = consumer.process
    if process is not None:
        process.signal(signal.SIGSTOP)
        try:
            _pass(stage, stage.settings.session_timeout / 1000 + rng.uniform(0.5, 2.0))
        finally:
            process.signal(signal.SIGCONT)
    yield


def leave(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """SIGTERM a consumer, which leaves the group; later it joins again"""
    consumer = _someone(stage, rng)
    consumer.wanted = False
    if consumer.process is not None:
        consumer.process.terminate()
    if not stage.wait(lambda: not consumer.running, _DEADLINE_S):
        raise ClickstreamError(f"{consumer.name} did not stop within {_DEADLINE_S:.0f} s of SIGTERM")
    yield
    consumer.wanted = True
    _up(stage, consumer)
    yield


def producer(stage: DrillStage, _rng: random.Random) -> Iterator[None]:
    """kill -9 the replay; it goes on with --resume"""
    stage.load.kill()
    yield


def broker(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """kill -9 the Kafka broker (of several, any), start it again"""
    await_whole(stage)
    one = rng.choice(stage.brokers)
    one.kill()
    _pass(stage, rng.uniform(0.0, 2.0))
    one.start()
    yield


def valkey(persistence: Persistence, stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """kill -9 Valkey, start it again"""
    with _redis(stage) as client:
        # Without persistence a server that comes back is empty; the files of before must not be found again.
        client.config_set("appendonly", "no" if persistence == "off" else "yes")
        if persistence != "off":
            client.config_set("appendfsync", persistence)
            stage.wait(lambda: not client.info()["aof_rewrite_in_progress"], _DEADLINE_S)
    _pass(stage, rng.uniform(0.5, 1.5))
    stage.valkey.kill()
    stage.valkey.persistence = persistence
    _pass(stage, rng.uniform(0.0, 2.0))
    stage.valkey.start()
    yield


def flushall(stage: DrillStage, _rng: random.Random) -> Iterator[None]:
    """FLUSHALL: Redis forgets everything while the consumers run"""
    _flush(stage)
    yield


def redis_full(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """Redis is out of memory for some seconds"""
    with _redis(stage) as client:
        client.config_set("maxmemory", 1)
        try:
            _pass(stage, rng.uniform(2.0, 4.0))
        finally:
            client.config_set("maxmemory", 0)
    yield


def disk_full(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """the broker's disk is full until it gives up; then there is room again"""
    if not stage.small_disk:
        raise NotPossibleError("a small file system for the broker cannot be mounted here (needs root)")
    broker = stage.brokers[0]
    filler = broker.folder / "filler"
    try:
        with filler.open("wb") as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        stage.wait(lambda: not broker.running, rng.uniform(3.0, 6.0))
    finally:
        filler.unlink()
    if not broker.running:
        broker.kill()
        broker.start()
    yield


def cut(server: Literal["broker", "redis"], stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """the network between a consumer and a server drops everything, about as long as the session timeout"""
    if server == "redis":
        _alone(stage)
    consumer = _someone(stage, rng)
    doors = consumer.kafka if server == "broker" else [consumer.redis]
    for door in doors:
        door.shut()
    try:
        _pass(stage, rng.uniform(0.3, 2.0) * stage.settings.session_timeout / 1000)
    finally:
        for door in doors:
            door.open()
    yield


def slow_redis(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """every answer of Redis takes 50 ms longer, for some seconds"""
    _alone(stage)
    doors = [consumer.redis for consumer in stage.consumers]
    for door in doors:
        door.delay_s = _SLOW_S
    try:
        _pass(stage, rng.uniform(2.0, 4.0))
    finally:
        for door in doors:
            door.delay_s = 0.0
    yield


def at_failpoint(name: str, stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """kill -9 at a named place in the code"""
    consumer = _someone(stage, rng)
    passes = rng.randint(1, _MOST_PASSES.get(name, _USUAL_PASSES))
    _die_at(stage, consumer, f"{name}:{passes}", _OCCASIONS.get(name, _wait))
    yield


FAULTS: dict[str, DrillFault] = {
    "kill": kill,
    "lose": lose,
    "pause": pause,
    "leave": leave,
    "producer": producer,
    "broker": broker,
    "valkey-everysec": partial(valkey, "everysec"),
    "valkey-always": partial(valkey, "always"),
    "valkey-off": partial(valkey, "off"),
    "flushall": flushall,
    "redis-full": redis_full,
    "disk-full": disk_full,
    "cut-broker": partial(cut, "broker"),
    "cut-redis": partial(cut, "redis"),
    "slow-redis": slow_redis,
    **CLUSTER_FAULTS,
    **FAILOVERS,
    **{name: partial(at_failpoint, name) for name in FAILPOINTS},
}


def describe(name: str) -> str:
    """What a fault does, in a few words."""
    if name in FAILPOINTS:
        return f"kill -9 once {FAILPOINTS[name]}"
    fault = FAULTS[name]
    if isinstance(fault, partial):
        return f"{fault.func.__doc__}; {_WHICH[fault.args[0]]}"
    return fault.__doc__ or ""


_WHICH = {
    "everysec": "appendfsync everysec",
    "always": "appendfsync always",
    "off": "it has no persistence",
    "broker": "the server is the broker",
    "redis": "the server is Redis",
    **ROLES,
}


def _someone(stage: DrillStage, rng: random.Random) -> Consumer:
    """A consumer that runs, once there is one."""

    def running() -> list[Consumer]:
        return [c for c in stage.consumers if c.running]

    if not stage.wait(lambda: bool(running()), _DEADLINE_S):
        raise ClickstreamError(f"no consumer runs, {_DEADLINE_S:.0f} s after one should")
    return rng.choice(running())


def _die(consumer: Consumer) -> None:
    if consumer.process is not None:
        consumer.process.kill()


def _die_at(
    stage: DrillStage, consumer: Consumer, failpoint: str, occasion: Callable[[DrillStage, Consumer], None]
) -> None:
    """Start a consumer anew with a failpoint, and wait until it died there; `occasion` brings that about."""
    consumer.wanted = False
    _die(consumer)
    stage.keep_alive()
    consumer.failpoint, consumer.wanted = failpoint, True
    deadline = time.monotonic() + _DEADLINE_S
    while not stage.wait(lambda: not consumer.failpoint, _OCCASION_EVERY_S):
        if time.monotonic() > deadline:
            consumer.failpoint = ""
            raise NotReachedError(f"{consumer.name} did not come to {failpoint} within {_DEADLINE_S:.0f} s")
        occasion(stage, consumer)


def _wait(_stage: DrillStage, _consumer: Consumer) -> None:
    """It comes there by itself."""


def _inherit(failpoint: str, stage: DrillStage, consumer: Consumer) -> None:
    """Another one dies there, and all but this one stay away: it takes over what that one left.

    Were a third one there, the group might give it just the partition that is meant, time after time.
    """
    other = _another(stage, consumer)
    away = [one for one in stage.consumers if one not in (consumer, other)]
    try:
        for one in away:
            one.wanted = False
            _die(one)
        _die_at(stage, other, failpoint, _wait)
        other.wanted = False
        _die(other)
        patience_s = stage.settings.session_timeout / 1000 + _INHERITED_WITHIN_S
        stage.wait(lambda: not consumer.failpoint, patience_s)
    finally:
        # Also where the occasion does not come: the drill goes on with all of them.
        for one in (other, *away):
            one.wanted = True


def _another(stage: DrillStage, consumer: Consumer) -> Consumer:
    others = [one for one in stage.consumers if one is not consumer]
    if not others:
        raise NotPossibleError("partitions move only between two consumers or more")
    return others[0]


def _wipe(stage: DrillStage, _consumer: Consumer) -> None:
    _flush(stage)


def _rebalance(stage: DrillStage, consumer: Consumer) -> None:
    """Another one leaves and joins, so that partitions move."""
    other = _another(stage, consumer)
    other.wanted = False
    if other.process is not None:
        other.process.terminate()
    stage.wait(lambda: not other.running and stage.members() < len(stage.consumers), _DEADLINE_S)
    stage.keep_alive()
    other.wanted = True
    # Partitions are taken from those that stayed when it is back; one of them may die of that.
    stage.wait(lambda: stage.members() == len(stage.consumers) or not consumer.failpoint, _DEADLINE_S)


_OCCASIONS: dict[str, Callable[[DrillStage, Consumer], None]] = {
    "after_wipe": _wipe,
    "after_revoke": _rebalance,
    "after_give_up": _rebalance,
    "after_republish": partial(_inherit, "after_commit"),
    "after_fence": partial(_inherit, "after_produce"),
}


def _up(stage: DrillStage, consumer: Consumer) -> None:
    if not stage.wait(lambda: consumer.running, _DEADLINE_S):
        raise ClickstreamError(f"{consumer.name} does not run, {_DEADLINE_S:.0f} s after it should")


def _pass(stage: DrillStage, seconds: float) -> None:
    stage.wait(lambda: False, seconds)


def _flush(stage: DrillStage) -> None:
    with _redis(stage) as client:
        client.flushall()


def _alone(stage: DrillStage) -> None:
    """Raises NotPossibleError where Redis is more than one server, which clients reach by no door."""
    if stage.replicated is not None:
        raise NotPossibleError("is for a Redis of one server (--redis one)")


def _redis(stage: DrillStage) -> redis.Redis:
    _alone(stage)
    return redis.Redis(host=HOST, port=stage.valkey.port, socket_timeout=5.0)
