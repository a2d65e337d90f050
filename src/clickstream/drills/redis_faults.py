"""Faults of a Redis with replicas: a master is away, a replica takes over, and it need not know all.

Each begins when every replica has what its master has, and yields while the master is away: what is timed
includes how long it takes until another one is master. Then it comes back, and the fault ends when it has
caught up.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from clickstream.drills.stage import DrillFault, DrillStage, NotPossibleError, NotReachedError
from clickstream.infra.errors import ClickstreamError
from clickstream.local.embedded import EmbeddedValkey
from clickstream.local.replicated import ReplicatedValkey, holds
from clickstream.local.valkey_cluster import EmbeddedCluster

_DEADLINE_S = 120.0
_MOST_LOST = 500_000
"""Bytes of the stream of writes: some steps of a partition."""
_CUT_OFF_S = 5.0
"""A replica that was cut off for longer than ten times what makes a server count as dead is not promoted."""


def lose_master(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """kill -9 a Redis master whose replica was cut off: acknowledged writes are lost with it"""
    servers, master = _master(stage, rng)
    servers.cut_off_replicas(master)
    began = servers.written(master)
    enough = rng.randint(1, _MOST_LOST)
    stage.wait(lambda: servers.written(master) - began > enough, _CUT_OFF_S)
    if servers.written(master) == began:
        servers.let_replicas_in(master)
        raise NotReachedError(f"{master.address} was written nothing to that it could lose")
    master.kill()
    yield
    servers.bring_back(master)


def freeze_master(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """SIGSTOP a Redis master until its replica has taken over, then SIGCONT: it still takes itself for one"""
    servers, master = _master(stage, rng)
    master.freeze()
    try:
        yield
    finally:
        master.thaw()
    if not stage.wait(lambda: holds(servers.in_step), _DEADLINE_S):
        raise ClickstreamError(f"{master.address} did not become a replica within {_DEADLINE_S:.0f} s")


def move_slots(stage: DrillStage, rng: random.Random) -> Iterator[None]:
    """the slots of all partitions move to other masters of a Redis Cluster, key by key"""
    servers, _ = _master(stage, rng)
    if not isinstance(servers, EmbeddedCluster):
        raise NotPossibleError("only a cluster has slots (--redis cluster)")

    def midway() -> None:
        stage.wait(lambda: False, rng.uniform(0.0, 0.3))

    for slot in sorted(stage.slots()):
        owner = servers.owner_of(slot)
        to = rng.choice([node for node in servers.serving() if node is not owner])
        servers.move_slot(slot, to, midway)
    yield


FAILOVERS: dict[str, DrillFault] = {
    "redis-failover": lose_master,
    "redis-freeze": freeze_master,
    "redis-reshard": move_slots,
}


def _master(stage: DrillStage, rng: random.Random) -> tuple[ReplicatedValkey, EmbeddedValkey]:
    """The servers, once all are in step, and a master of some partition that a replica can take over from."""
    servers = stage.replicated
    if servers is None:
        raise NotPossibleError("this Redis has no replica (--redis sentinels or cluster)")
    if not stage.wait(lambda: holds(servers.in_step), _DEADLINE_S):
        raise ClickstreamError(f"the replicas are not in step within {_DEADLINE_S:.0f} s")
    masters = servers.masters()
    if isinstance(servers, EmbeddedCluster):
        used = {servers.owner_of(slot).port for slot in stage.slots()}
        masters = [master for master in masters if master.port in used]
    return servers, rng.choice(masters)
