"""Faults of a Kafka of three brokers: one of them is away, and the two others must go on.

Each begins when every copy of every record is up to date, as one broker at a time is what three of them bear,
and yields while that broker is away: what is timed is how long the others take. Then it comes back, and the
fault ends when it has caught up. Where the network was cut, it is timed from when that is mended.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial

from clickstream.drills.stage import DrillFault, DrillStage, NotPossibleError
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka import ClusterAdmin
from clickstream.local.broker import EmbeddedKafka

_DEADLINE_S = 120.0
FEWEST_BROKERS = 3

ROLES = {
    "leader": "it leads a partition of the clicks",
    "scores-leader": "it leads a partition of the scores",
    "coordinator": "it has the members and offsets of the consumers' group",
    "transactions": "it decides the transactions of a consumer",
    "controller": "it decides for the brokers who leads what",
}
"""Role of a broker -> what that is."""

FOR_GOOD = "broker-gone"
"""The fault that is played last."""


def kill_broker(role: str, stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """kill -9 one broker of three; it is back when the others go on"""
    broker = _broker(role, stage, rng)
    broker.kill()
    yield
    _come_back(stage, broker)


def stop_broker(role: str, stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """SIGTERM one broker of three, which hands over what it leads; it is back when the others go on"""
    broker = _broker(role, stage, rng)
    broker.terminate()
    yield
    broker.stop()
    _come_back(stage, broker)


def freeze_broker(role: str, stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """SIGSTOP one broker of three, whose connections stay open; SIGCONT when the others go on"""
    broker = _broker(role, stage, rng)
    broker.freeze()
    try:
        yield
    finally:
        broker.thaw()
    await_whole(stage)


def rolling_restart(stage: DrillStage, _rng: random.Random) -> Iterator[None]:
    """one broker after the other is stopped in order and started again"""
    for broker in stage.brokers:
        await_whole(stage)
        broker.stop()
        yield
        _come_back(stage, broker)


def lose_disk(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """kill -9 one broker of three; it comes back with an empty folder"""
    broker = _any(stage, rng)
    broker.kill()
    shutil.rmtree(broker.folder)
    yield
    _come_back(stage, broker)


def lose_broker(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """kill -9 one broker of three; it never comes back"""
    stage.lost = _any(stage, rng)
    stage.lost.kill()
    yield


def cut_leader(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """the network between a consumer and one broker, a leader of the clicks, drops everything"""
    broker = _broker("leader", stage, rng)
    door = rng.choice(stage.consumers).kafka[stage.brokers.index(broker)]
    door.shut()
    try:
        stage.wait(lambda: False, rng.uniform(0.3, 2.0) * stage.settings.session_timeout / 1000)
    finally:
        door.open()
    yield


def cut_off(role: str, stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """the network between one broker of three and the others is cut for seconds; clients reach all three"""
    if stage.between is None:
        raise NotPossibleError("needs doors between the brokers")
    broker = _broker(role, stage, rng)
    stage.between.cut_off(broker.node)
    try:
        # Longer than the others wait until they decide without it. It does not learn that, and whoever asks
        # it for the group or a transaction is kept waiting.
        stage.wait(lambda: False, rng.uniform(5.0, 15.0))
    finally:
        stage.between.heal(broker.node)
    yield
    await_whole(stage)


CUT_OFF = {f"cut-off-{role}": partial(cut_off, role) for role in ("leader", "coordinator", "controller")}
"""Faults for which the stage needs doors between its brokers."""

CLUSTER_FAULTS: dict[str, DrillFault] = {
    **{f"kill-{role}": partial(kill_broker, role) for role in ROLES},
    **{f"stop-{role}": partial(stop_broker, role) for role in ROLES},
    **{f"freeze-{role}": partial(freeze_broker, role) for role in ROLES},
    "rolling-restart": rolling_restart,
    "broker-empty": lose_disk,
    "cut-leader": cut_leader,
    **CUT_OFF,
    FOR_GOOD: lose_broker,
}


def await_whole(stage: DrillStage) -> None:
    """Wait until every copy of every record is up to date.

    Raises:
        ClickstreamError: that takes too long.
    """
    if not stage.wait(lambda: stage.ask(ClusterAdmin.whole, False), _DEADLINE_S):
        raise ClickstreamError(
            f"{_DEADLINE_S:.0f} s after all brokers were started, copies of records are not up to date",
            "Look at the logs of the brokers.",
        )


def _come_back(stage: DrillStage, broker: EmbeddedKafka) -> None:
    broker.launch()
    await_whole(stage)
    broker.check()


def _any(stage: DrillStage, rng: random.Random) -> EmbeddedKafka:
    """A broker, once all of three are whole."""
    if len(stage.brokers) < FEWEST_BROKERS:
        raise NotPossibleError("needs three brokers (--brokers 3)")
    if stage.lost is not None:
        raise NotPossibleError("one broker is gone for good; with another one away, nothing can go on")
    stage.check_brokers()
    await_whole(stage)
    return rng.choice(stage.brokers)


def _broker(role: str, stage: DrillStage, rng: random.Random) -> EmbeddedKafka:
    """The broker that has this role now."""
    _any(stage, rng)
    settings = stage.settings
    partition = rng.randrange(stage.topic.partitions)
    questions: dict[str, Callable[[ClusterAdmin], int]] = {
        "leader": lambda admin: admin.leader(settings.clicks_topic, partition),
        "scores-leader": lambda admin: admin.leader(settings.scores_topic, partition),
        "coordinator": lambda admin: admin.group_coordinator(settings.group),
        "transactions": lambda admin: admin.transaction_coordinator(
            f"{settings.group}-{stage.consumers[0].name}"
        ),
        "controller": ClusterAdmin.active_controller,
    }
    brokers = {broker.node: broker for broker in stage.brokers}
    found: list[EmbeddedKafka] = []

    def known() -> bool:
        node = stage.ask(questions[role], -1)
        found.extend(brokers[one] for one in (node,) if one in brokers)
        return bool(found)

    if not stage.wait(known, _DEADLINE_S):
        raise ClickstreamError(f"within {_DEADLINE_S:.0f} s no broker had the role {role}")
    return found[0]
