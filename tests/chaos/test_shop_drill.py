"""A drill on another shop than the one of the dataset: its clicks, its models, a goal that is an event."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from clickstream.cli.replayed import replayed_clicks
from clickstream.drills.drill import play
from clickstream.drills.stage import DrillStage
from clickstream.features.shop_file import built_in, read_definition
from clickstream.infra.errors import MissingFileError, UsageError
from clickstream.infra.failpoints import FAILPOINTS
from clickstream.infra.settings import Settings
from clickstream.producer.synthetic_shop import SHOP

SESSIONS = 800
IN_EVERY_STEP = sorted(set(FAILPOINTS) - {"after_revoke", "after_give_up", "after_fence"})


@pytest.mark.integration
@pytest.mark.chaos
@pytest.mark.drill
@pytest.mark.timeout(600)
def test_kills_during_the_replay_of_another_shop_lose_and_repeat_nothing(
    tmp_path: Path, known_shop_bundle: Path, drill_seed: int
) -> None:
    settings = Settings(
        shop=SHOP,
        bundle=str(known_shop_bundle),
        session_timeout=2_000,
        max_poll_records=200,
        open_scores="1,2,3,5,8",
        open_conditions="likely: conversion > 0.5; unlikely: online.conversion < 0.1 and clicks >= 3",
        log_format="json",
    )
    faults = ["kill", *random.Random(drill_seed).sample(IN_EVERY_STEP, 2)]
    load = ["--synthetic", str(SESSIONS), "--calendar", "busy-day"]
    with DrillStage(settings, tmp_path / "stage", consumers=2, load=load, speed=600.0) as stage:
        outcome = play(stage, faults, drill_seed)
    found = f"seed {outcome.seed}: finished {outcome.finished}, {outcome.rows}, {outcome.report}"
    assert outcome.clean, found
    assert (outcome.report.missing, outcome.report.duplicate, outcome.report.wrong) == (0, 0, 0), found
    assert outcome.report.scored >= SESSIONS, found
    opened = outcome.report.opened
    assert opened.found == opened.expected >= SESSIONS, found
    assert (opened.missing, opened.duplicate, opened.wrong, opened.unexpected) == (0, 0, 0, 0), found
    assert sum(row.times for row in outcome.rows.values()) == len(faults), found


def test_without_a_log_a_drill_replays_what_is_at_hand(tmp_path: Path) -> None:
    made = replayed_clicks(built_in(SHOP), None, None)
    assert made.words(50) == ["--synthetic", "50"]
    sample = replayed_clicks(built_in("online-store"), None, None)
    assert sample.data is not None
    assert sample.data.name == "events.csv.gz"
    assert sample.words(50)[2:] == ["--mapping", str(sample.mapping), "--sessions", "50"]
    log = replayed_clicks(built_in("online-store"), tmp_path / "x.csv", None)
    assert log.words() == ["--data", str(tmp_path / "x.csv")]
    with pytest.raises(UsageError, match="without --data"):
        replayed_clicks(built_in("online-store"), None, tmp_path / "m.toml")


def test_a_shop_of_ones_own_needs_a_log() -> None:
    folder = Path(__file__).parents[2] / "examples" / "online-store" / "purchases"
    shop = read_definition((folder / "shop.toml").read_bytes(), "shop.toml")
    with pytest.raises(MissingFileError, match=f"there is no log of shop {shop.name}"):
        replayed_clicks(shop, None, None)
