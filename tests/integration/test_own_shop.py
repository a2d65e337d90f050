"""A shop of one's own end to end: trained, its clicks scored as they happen, and audited."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shop import Shop, stop, wait_for

from clickstream.bundles.bundle import load_bundle
from clickstream.bundles.champion import bundles_of, champion
from clickstream.infra.settings import Settings
from clickstream.local.processes import Process, environment
from clickstream.offline.recorded import read_recorded_windows
from clickstream.offline.shop_windows import shop_windows
from clickstream.producer.synthetic_shop import SHOP, known_sessions
from clickstream.windows.fingerprint import rules_of

pytestmark = pytest.mark.integration

SESSIONS = 150
REPLAY = ("replay", "--synthetic", str(SESSIONS), "--seed", "7", "--speed", "max")


def command(settings: Settings, *words: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "clickstream", *words],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_clicks_of_a_shop_are_scored_by_its_own_models_and_the_audit_is_clean(own: Shop) -> None:
    known = known_sessions(SESSIONS, seed=7)
    command(own.settings, *REPLAY)
    consumer = own.consumer()
    own.drain(consumer)
    stop(consumer)

    scores: list[dict[str, Any]] = own.scores()
    assert len(scores) >= SESSIONS
    assert not own.dead_letters()
    bundle = champion(bundles_of(own.settings.bundles, SHOP))
    assert {score["models"]["bundle"] for score in scores} == {bundle}
    assert {score["shop"]["name"] for score in scores} == {SHOP}
    assert {score["error"] for score in scores} == {None}
    assert all(score["predictions"]["reference"] is None for score in scores)
    bought = {score["session_id"] for score in scores if score["outcome"]["converted"]}
    assert bought == {
        session_id
        for session_id, clicks in known.sessions.items()
        if any(click.event == "purchase" for click in clicks)
    }

    report = own.audit()
    assert report.verdict == "exactly once", report.findings
    assert report.predictions_checked == report.online_checked == len(scores)
    command(own.settings, "scores", "audit", "--shop", SHOP)


@pytest.mark.drill
def test_models_are_trained_on_the_topic_as_on_the_same_sessions_of_a_log(
    settings: Settings, tmp_path: Path
) -> None:
    shop = Shop(settings.model_copy(update={"shop": SHOP}), tmp_path / "logs")
    known = known_sessions(600, seed=5)
    command(shop.settings, "replay", "--synthetic", "600", "--seed", "5", "--speed", "max")
    recorded = read_recorded_windows(shop.settings)
    assert recorded.sessions == shop_windows(known.sessions, rules_of(shop.settings))
    assert (recorded.refused, recorded.late, recorded.open, recorded.cut) == ({}, 0, 0, 0)
    said = command(shop.settings, "train", "--shop", SHOP, "--from-topic")
    assert f"{len(recorded.sessions)} sessions; refused: none" in " ".join(said.split())
    bundle = load_bundle(shop.settings)
    assert (bundle.manifest.data.name, bundle.manifest.data.sha256) == (recorded.topic, recorded.sha256)
    shop.close()


def test_faults_in_the_clicks_of_a_shop_show_where_the_ledger_says(own: Shop, tmp_path: Path) -> None:
    ledger = str(tmp_path / "faults.jsonl")
    faults = "late=0.05,duplicate=0.05,drop=0.05,reorder=0.05,malformed=0.05"
    command(own.settings, *REPLAY, "--faults", faults, "--ledger", ledger)
    consumer = own.consumer()
    own.drain(consumer)
    stop(consumer)
    assert own.dead_letters()
    audited = command(own.settings, "scores", "audit", "--ledger", ledger)
    assert "exactly once" in audited


def test_a_replay_of_a_shop_that_was_stopped_goes_on_where_it_was(own: Shop) -> None:
    killed = Process([*REPLAY[:-1], "50000"], own.settings, own.folder / "replay.log")
    wait_for(lambda: own.records() > 50, "some clicks are there")
    killed.kill()
    there = own.records()
    told = command(own.settings, *REPLAY, "--resume")
    assert "of 150 sessions" in told
    assert "going on after" in told
    plan_size = own.records()
    assert plan_size > there
    assert "is complete" in command(own.settings, *REPLAY, "--resume")
    consumer = own.consumer()
    own.drain(consumer)
    stop(consumer)
    assert own.audit().verdict == "exactly once"
    assert len(own.scores()) >= SESSIONS


def test_the_demo_of_a_shop_says_what_was_foretold_and_made_and_is_audited(own: Shop) -> None:
    told = command(own.settings, "demo", "--sessions", str(SESSIONS), "--consumers", "1")
    made = sum(
        any(click.event == "purchase" for click in clicks)
        for clicks in known_sessions(SESSIONS).sessions.values()
    )
    assert f"{SESSIONS} sessions scored, 0 missing, 0 duplicate, 0 wrong" in told
    assert "exactly once" in told
    (line,) = (line for line in told.splitlines() if "conversions made" in line)
    assert line.count(str(made)) == 2
    for shown in ("conversions foretold", "average predicted revenue", "trained on synthetic", "clusters"):
        assert shown in told
    assert "reference" not in told
