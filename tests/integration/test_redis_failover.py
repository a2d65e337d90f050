"""Redis behind Sentinels and as a cluster: masters die with writes that no replica has, slots move."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.crc import key_slot
from shop import Shop, plan_of, scraped, stop, wait_for

from clickstream.audit.verdict import unchecked_parts
from clickstream.consumer.state_reader import StateReader
from clickstream.consumer.store import Changes, Store
from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.kafka import Admin
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.local.child import HOST, free_port
from clickstream.local.processes import Process
from clickstream.local.replicated import ReplicatedValkey
from clickstream.local.sentinels import EmbeddedSentinels
from clickstream.local.valkey_cluster import SLOTS, EmbeddedCluster
from clickstream.operate.doctor.memory import check_redis
from clickstream.operate.doctor.sentinels import check_sentinels, data_hosts
from clickstream.operate.rights import Role, redis_command, redis_rights
from clickstream.producer.plan import Plan
from clickstream.windows.fingerprint import rules_of

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

SESSIONS = 200


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSentinels]:
    with EmbeddedSentinels(tmp_path_factory.mktemp("sentinels"), sentinels=1) as servers:
        yield servers


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(tmp_path_factory.mktemp("cluster"), masters=3, replicas=1) as servers:
        yield servers


@pytest.fixture
def shop_on(settings: Settings, bundle: Path, tmp_path: Path) -> Iterator[Callable[[ReplicatedValkey], Shop]]:
    """A shop on the session's Kafka and the Redis that is given."""
    shops = []

    def made(servers: ReplicatedValkey) -> Shop:
        reached = servers.reached_by(settings)
        changes = {"bundle": str(bundle), "metrics_port": free_port()}
        shops.append(Shop(reached.model_copy(update=changes), tmp_path / "logs"))
        return shops[-1]

    yield made
    for shop in shops:
        shop.close()


def behind(shop: Shop) -> list[int]:
    """Partitions of which Redis knows less than was published."""
    with closing(Store(shop.settings, shop.topic.id)) as store, closing(Admin(shop.settings)) as admin:
        offsets = admin.group_offsets(shop.settings.group, shop.topic.name)
        return [p for p, committed in offsets.items() if (store.peek(p).applied or 0) < committed.offset]


def as_user(cluster: EmbeddedCluster, settings: Settings, role: Role, less: str = "") -> Settings:
    """The settings of a user who has exactly the rights of a role, on each node; without one command."""
    rights = redis_rights(role, settings)
    assert rights is not None
    user = f"{role}-{less.replace('|', '-')}"
    running = [node for node in cluster.nodes if node.running]
    for node in running:
        with node.client() as own:
            words = redis_command(rights, user, cluster=True).split()
            own.execute_command(*(word for word in words if word != f"+{less}"))
            own.acl_log_reset()
    url = SecretStr(f"redis://{user}:PASSWORD@{','.join(node.address for node in running)}")
    return settings.model_copy(update={"redis_url": url, "redis_cluster": True})


def denied(cluster: EmbeddedCluster) -> list[str]:
    """What users were not permitted, by any node."""
    found = []
    for node in cluster.nodes:
        if node.running:
            with node.client() as own:
                found += [str(entry["object"]) for entry in own.acl_log()]
    return found


def lose_acknowledged_writes(shop: Shop, servers: ReplicatedValkey, plan: Plan, consumer: Process) -> None:
    """The master dies with the writes of 500 clicks that no replica has, then comes the rest."""
    (master,) = servers.masters()
    servers.cut_off_replicas(master)
    written = servers.written(master)
    shop.publish(plan, after=300, until=800)
    shop.drain(consumer)
    assert servers.written(master) > written + 30_000
    assert shop.open_sessions() > 0
    assert behind(shop) == []
    master.kill()
    shop.publish(plan, after=800)
    shop.drain(consumer)
    assert scraped(shop.settings)["claims_total", "behind"] > 0
    stop(consumer)
    report = shop.audit()
    assert not report.flawed, report
    assert not unchecked_parts(report)
    assert report.scored == SESSIONS
    assert behind(shop) == []
    servers.bring_back(master)


def test_acknowledged_writes_that_a_failover_loses_are_made_again_from_the_log(
    sentinels: EmbeddedSentinels, shop_on: Callable[[ReplicatedValkey], Shop]
) -> None:
    shop = shop_on(sentinels)
    plan = plan_of(shop.settings, SESSIONS)
    shop.publish(plan, until=300)
    consumer = shop.consumer("one")
    shop.drain(consumer)
    lose_acknowledged_writes(shop, sentinels, plan, consumer)


def test_a_cluster_may_move_slots_and_fail_over_under_a_consumer(
    cluster: EmbeddedCluster, shop_on: Callable[[ReplicatedValkey], Shop]
) -> None:
    shop = shop_on(cluster)
    plan = plan_of(shop.settings, SESSIONS)
    shop.publish(plan, until=150)
    consumer = shop.consumer("one", settings=as_user(cluster, shop.settings, Role.CONSUMER))
    shop.drain(consumer)

    def midway() -> None:
        shop.publish(plan, after=150, until=300)
        wait_for(lambda: '"recovering"' in consumer.log.read_text(), "it is told to try again")

    slot = key_slot(shop.redis_keys()[0][0].encode())
    elsewhere = next(node for node in cluster.serving() if node is not cluster.owner_of(slot))
    cluster.move_slot(slot, elsewhere, midway)
    shop.drain(consumer)
    lose_acknowledged_writes(shop, cluster, plan, consumer)
    assert denied(cluster) == []


def claimed(store: Store, token: str, key: int = 0) -> None:
    store.claim(key, token, 1, "id", proven=True)


def test_a_slot_that_moves_is_waited_for(cluster: EmbeddedCluster, settings: Settings) -> None:
    own = as_user(cluster, settings, Role.CONSUMER)
    lacking = as_user(cluster, settings, Role.CONSUMER, "asking")
    with closing(Store(own, "moving")) as store, closing(Store(lacking, "moving")) as other:
        claimed(store, "first")
        store.commit({0: Changes("first", None, 7, {"newest": 1})})
        slot = key_slot(store.keys(0)[0].encode())
        owner = cluster.owner_of(slot)
        others = [node for node in cluster.serving() if node is not owner]

        def midway() -> None:
            # Keys that are not there yet could lie on either side.
            with pytest.raises(UnavailableError, match="is not ready"):
                store.commit({0: Changes("first", 7, 8, {"newest": 2})})
            with pytest.raises(ConfigurationError, match="no permissions to run the 'asking'"):
                other.commit({0: Changes("first", 7, 8, {"newest": 2})})

        cluster.move_slot(slot, others[0], midway)
        assert cluster.owner_of(slot) is others[0]
        store.commit({0: Changes("first", 7, 9, {"newest": 2})})
        assert store.peek(0).applied == 9


def test_doctor_says_who_is_master_now_and_how_far_its_replicas_are(
    sentinels: EmbeddedSentinels, settings: Settings
) -> None:
    (master,) = sentinels.masters()
    (replica,) = (node for node in sentinels.nodes if node is not master)
    own = sentinels.reached_by(settings)
    named, lag = check_sentinels(own)
    assert (named.status, lag.status) == ("ok", "ok")
    assert named.what == f"1 Sentinel of the URL: master of clickstream is {master.address}"
    assert lag.what.startswith(f"its replica at {replica.address} is ")
    assert any(f"Redis at {master.address} answers" in check.what for check in check_redis(own))
    assert list(data_hosts(own)) == [(HOST, master.port), (HOST, replica.port)]
    # One that is away, and a replica that is.
    both = f"redis://{sentinels.sentinels[0].address},{HOST}:1/0"
    away = own.model_copy(update={"redis_url": SecretStr(both)})
    replica.freeze()
    try:

        def late() -> list[str]:
            return [check.what for check in check_sentinels(away) if check.status == "warn"]

        wait_for(lambda: len(late()) == 2, "doctor warns of both", 40)
        assert f"the Sentinel at {HOST}:1 does not answer" in late()[0]
    finally:
        replica.thaw()
    wait_for(lambda: sentinels.in_step(), "the replica is back")
    unknown = check_sentinels(own.model_copy(update={"redis_sentinel_service": "another"}))
    first = next(unknown)
    assert (first.status, "No such master" in first.what) == ("fail", True)
    with pytest.raises(UnavailableError, match="name no master"):
        next(unknown)


def test_what_passes_after_a_failover_is_waited_for(sentinels: EmbeddedSentinels, settings: Settings) -> None:
    """A replica that takes no writes, and a master that wants more replicas than it has."""
    (master,) = sentinels.masters()
    (replica,) = (node for node in sentinels.nodes if node is not master)
    behind_it = settings.model_copy(update={"redis_url": SecretStr(replica.url)})
    with closing(Store(behind_it, "replica")) as store, pytest.raises(UnavailableError, match="not ready"):
        claimed(store, "first")
    with closing(Store(sentinels.reached_by(settings), "lonely")) as store, master.client() as own:
        own.config_set("min-replicas-to-write", 3)
        with pytest.raises(UnavailableError, match="not ready"):
            claimed(store, "first")
        own.config_set("min-replicas-to-write", 0)
        claimed(store, "first")


def test_what_a_server_is_not_is_told(
    sentinels: EmbeddedSentinels, cluster: EmbeddedCluster, settings: Settings
) -> None:
    alone = settings.model_copy(update={"redis_url": SecretStr(cluster.nodes[0].url)})
    with closing(Store(cluster.reached_by(settings), "alone")) as store:
        slots = [SLOTS - 1 - key_slot(store.keys(partition)[0].encode()) for partition in range(20)]
    # The last slots are not the first node's.
    elsewhere = slots.index(min(slots))
    with closing(Store(alone, "alone")) as store, pytest.raises(ConfigurationError, match="CLUSTER=true"):
        claimed(store, "first", elsewhere)
    of_many = alone.model_copy(update={"redis_url": SecretStr(sentinels.nodes[0].url), "redis_cluster": True})
    with pytest.raises(ConfigurationError, match="no node of a Redis Cluster"):
        connect(of_many)
    other = sentinels.reached_by(settings).model_copy(update={"redis_sentinel_service": "another"})
    with pytest.raises(UnavailableError, match="SENTINEL_SERVICE"):
        connect(other)


def test_the_rights_of_the_roles_are_enough_on_a_cluster(
    cluster: EmbeddedCluster, settings: Settings
) -> None:
    """A consumer's scripts, and what the look-up reads of partitions, with no other rights."""

    partitions = range(8)
    with closing(Store(as_user(cluster, settings, Role.CONSUMER), "roles")) as store:
        for partition in partitions:
            claimed(store, "first", partition)
            store.commit({partition: Changes("first", None, 7, {"newest": 1, "open": 0})})
            assert store.peek(partition).applied == 7
    reading = as_user(cluster, settings, Role.LOOK_UP)
    with closing(StateReader(reading, "roles", rules_of(settings).shop)) as reader:
        assert reader.latest(partitions, 10) == {}
        assert reader.holders("nobody", partitions) == []
        assert reader.read(3, ["nobody"], with_models=True).meta is not None
    with (
        closing(Store(reading, "roles")) as store,
        pytest.raises(ConfigurationError, match=r"evalsha|script"),
    ):
        claimed(store, "second")
    for less in ("cluster|slots", "command"):
        with pytest.raises(ConfigurationError, match=f"no permissions to run the '{re.escape(less)}'"):
            connect(as_user(cluster, settings, Role.LOOK_UP, less))
