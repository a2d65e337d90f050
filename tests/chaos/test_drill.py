"""A drill on real servers and processes, with a seed of its own each time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from shop import wait_for

from clickstream.consumer.topics import prepare_topics
from clickstream.drills.cluster_faults import CLUSTER_FAULTS
from clickstream.drills.drill import PLANS, DrillOutcome, FaultResult, order, parse_plan, play
from clickstream.drills.faults import FAULTS, describe
from clickstream.drills.load import ReplayLoad
from clickstream.drills.redis_faults import FAILOVERS
from clickstream.drills.stage import DrillStage
from clickstream.infra.errors import UsageError
from clickstream.infra.failpoints import FAILPOINTS
from clickstream.infra.settings import Settings

SESSIONS = 1_000
SHARE = 4
"""Faults of the drill below. Each of the others has its turn with another seed."""


def test_a_plan_is_faults_and_plans_with_a_count_each() -> None:
    assert parse_plan(["kill=3", "broker"]) == {"kill": 3, "broker": 1}
    assert parse_plan(["failpoints=2", "after_poll"])["after_poll"] == 3
    assert set(parse_plan(["all"])) == set(FAULTS) - set(CLUSTER_FAULTS) - set(FAILOVERS)


@pytest.mark.parametrize("word", ["kil", "kill=0", "kill=two", "=3"])
def test_what_is_no_plan_is_refused_and_named(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_plan([word])
    assert word.partition("=")[0] in str(caught.value)


def test_a_seed_gives_the_same_order_again_and_another_another() -> None:
    plan = PLANS["all"]
    assert order(plan, 7) == order(plan, 7) != order(plan, 8)
    assert sorted(order(plan, 7)) == sorted(order(plan, 8))


def test_every_fault_says_what_it_does() -> None:
    assert set(FAILPOINTS) < set(FAULTS)
    assert all(describe(name) for name in FAULTS)


def test_a_fault_after_which_nothing_went_on_is_not_clean() -> None:
    row = FaultResult(times=3, recoveries_s=[1.0, 2.0], not_recovered=1)
    assert (row.median_s, row.longest_s) == (1.5, 2.0)


@pytest.mark.integration
def test_a_load_that_is_told_to_end_before_it_can_listen_ends_all_the_same(
    settings: Settings, tmp_path: Path
) -> None:
    prepare_topics(settings)
    load = ReplayLoad(settings, ["--synthetic", "20"], 600.0, tmp_path)
    try:
        load.end()

        def finished() -> bool:
            load.keep_up()
            return load.finished

        wait_for(finished, "all of it is sent")
    finally:
        load.close()


@pytest.mark.integration
@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_faults_under_load_lose_and_repeat_nothing(
    synthetic_bundle: Path, tmp_path: Path, drill_seed: int
) -> None:
    in_rebalances = ["after_revoke", "after_give_up", "after_fence"]
    possible = [*sorted(set(PLANS["all"]) - set(FAILPOINTS) - {"disk-full"}), *in_rebalances]
    faults = random.Random(drill_seed).sample(possible, SHARE)
    settings = Settings(
        bundle=str(synthetic_bundle), session_timeout=2_000, max_poll_records=200, log_format="json"
    )
    load = ["--synthetic", str(SESSIONS)]
    with DrillStage(settings, tmp_path, consumers=2, load=load, speed=600.0) as stage:
        outcome = play(stage, faults, drill_seed)
    assert outcome.clean, report(outcome)
    assert outcome.report.scored + outcome.report.rebuilt_partly >= SESSIONS
    assert outcome.read_uncommitted >= outcome.read_committed >= outcome.report.scored
    assert all(row.times == 1 and row.recoveries_s for row in outcome.rows.values()), report(outcome)


def report(outcome: DrillOutcome) -> str:
    return f"seed {outcome.seed}: finished {outcome.finished}, {outcome.rows}, {outcome.report}"
