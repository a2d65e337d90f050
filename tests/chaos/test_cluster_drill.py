"""Three brokers, of which one at a time is taken away, and what is said of the copies of their records."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from clickstream.drills.cluster_faults import CLUSTER_FAULTS, CUT_OFF, FOR_GOOD, await_whole
from clickstream.drills.drill import PLANS, check_brokers, order, parse_plan, play
from clickstream.drills.stage import DrillStage
from clickstream.infra.errors import UnavailableError, UsageError
from clickstream.infra.kafka import ClusterAdmin, Reader
from clickstream.infra.settings import Settings
from clickstream.operate.doctor.check import Check
from clickstream.operate.doctor.replication import check_replication

SESSIONS = 400
IN_TURN = sorted(name for name in CLUSTER_FAULTS if name.startswith(("kill-", "stop-", "freeze-")))


def test_the_plan_takes_each_role_away_in_each_way_and_ends_with_what_is_for_good() -> None:
    assert len(IN_TURN) == 15
    assert set(IN_TURN) < set(parse_plan(["cluster"]))
    assert set(parse_plan(["split"])) == set(CUT_OFF)
    assert not set(CLUSTER_FAULTS) & set(PLANS["all"])
    assert all(order(parse_plan(["cluster=2"]), seed)[-2:] == [FOR_GOOD] * 2 for seed in range(5))


def test_what_needs_three_brokers_is_refused_with_fewer() -> None:
    check_brokers(["kill", "kill-leader"], 3)
    check_brokers(["kill", "cut-broker"], 1)
    with pytest.raises(UsageError, match="kill-leader needs 3 brokers, and there is 1"):
        check_brokers(["kill", "kill-leader"], 1)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, synthetic_bundle: Path) -> Iterator[DrillStage]:
    """Shared, as their start is dear."""
    with staged(tmp_path_factory.mktemp("cluster"), synthetic_bundle) as stage:
        yield stage


def staged(folder: Path, bundle: Path, between: bool = False) -> DrillStage:
    """Three brokers, a consumer and a load; `between`: with doors between the brokers."""
    settings = Settings(
        bundle=str(bundle),
        session_timeout=2_000,
        patience=5_000,
        max_poll_records=200,
        log_format="json",
    )
    load = ["--synthetic", str(SESSIONS)]
    return DrillStage(settings, folder, consumers=1, load=load, speed=1_200.0, brokers=3, between=between)


def played_and_clean(stage: DrillStage, fault: str, seed: int) -> None:
    outcome = play(stage, [fault], seed)
    found = f"seed {outcome.seed}: finished {outcome.finished}, {outcome.rows}, {outcome.report}"
    assert outcome.clean, found
    assert outcome.report.scored >= SESSIONS, found
    assert all(row.times == 1 and row.recoveries_s for row in outcome.rows.values()), found


@pytest.mark.integration
@pytest.mark.chaos
@pytest.mark.drill
@pytest.mark.timeout(600)
def test_a_broker_that_is_away_loses_and_repeats_nothing(stage: DrillStage, drill_seed: int) -> None:
    played_and_clean(stage, random.Random(drill_seed).choice(IN_TURN), drill_seed)


@pytest.mark.integration
@pytest.mark.chaos
@pytest.mark.drill
@pytest.mark.timeout(600)
def test_a_broker_that_is_cut_off_loses_and_repeats_nothing(
    synthetic_bundle: Path, tmp_path: Path, drill_seed: int
) -> None:
    with staged(tmp_path / "split", synthetic_bundle, between=True) as stage:
        played_and_clean(stage, random.Random(drill_seed).choice(sorted(CUT_OFF)), drill_seed)


@pytest.mark.integration
def test_doctor_says_whether_three_brokers_keep_what_they_should(stage: DrillStage) -> None:
    await_whole(stage)
    assert [check.status for check in examined(stage.settings)] == ["ok"]
    thin = stage.settings.model_copy(update={"dead_letter_topic": "thin", "replication_factor": 1})
    create(stage, "thin", copies=1)
    assert [(c.status, c.what) for c in examined(thin)] == [
        ("fail", "thin has 1 copies of a record and min.insync.replicas 2: nothing can be written")
    ]
    create(stage, "loose", copies=3, in_sync=1)
    loose = stage.settings.model_copy(update={"dead_letter_topic": "loose"})
    (check,) = examined(loose)
    assert (check.status, "min.insync.replicas 1" in check.what) == ("warn", True)


@pytest.mark.integration
def test_offsets_of_a_partition_without_a_leader_are_an_error(stage: DrillStage) -> None:
    """The last one: the broker is not started again."""
    await_whole(stage)
    create(stage, "split", assignments={0: [1], 1: [2]})
    settings = stage.settings.model_copy(update={"patience": 2_000})
    with closing(Reader(settings, "split")) as reader:
        assert reader.end_offsets() == {0: 0, 1: 0}
        broker = next(one for one in stage.brokers if one.node == 2)
        broker.kill()
        assert stage.wait(lambda: stage.ask(lambda admin: admin.leader("split", 1), 0) == -1, 30)
        with pytest.raises(UnavailableError, match=r"reading the offsets of split"):
            reader.end_offsets()


def examined(settings: Settings) -> list[Check]:
    with closing(ClusterAdmin(settings)) as admin:
        return list(check_replication(settings, admin))


def create(
    stage: DrillStage,
    name: str,
    copies: int = -1,
    in_sync: int | None = None,
    assignments: dict[int, list[int]] | None = None,
) -> None:
    client = KafkaAdminClient(bootstrap_servers=(stage.settings.kafka_bootstrap or "").split(","))
    topic = {
        "num_partitions": -1 if assignments else 1,
        "replication_factor": -1 if assignments else copies,
        "configs": {} if in_sync is None else {"min.insync.replicas": str(in_sync)},
        "assignments": assignments or {},
    }
    client.create_topics({name: topic})
    client.close()
