"""A shop of one's own end to end: trained, its clicks scored as they happen, and audited."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from shop import Shop, stop

from clickstream.bundles.bundle import load_bundle
from clickstream.bundles.champion import bundles_of, champion
from clickstream.features.shop_file import built_in
from clickstream.infra.settings import Settings
from clickstream.local.processes import environment
from clickstream.offline.recorded import read_recorded_windows
from clickstream.offline.shop_windows import shop_windows
from clickstream.producer.synthetic_shop import SHOP, known_sessions
from clickstream.windows.fingerprint import rules_of

pytestmark = pytest.mark.integration

SESSIONS = 150


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Iterator[Shop]:
    """A shop whose goal is an event, with the models that `train --shop` put in use."""
    settings = settings.model_copy(update={"shop": SHOP})
    command(settings, "train", "--shop", SHOP, "--synthetic", "2000")
    shop = Shop(settings, tmp_path / "logs")
    yield shop
    shop.close()


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
    return done.stdout


def publish(shop: Shop, sessions: dict[str, list[Any]]) -> None:
    """The clicks in the order of their times, and a last word to every partition."""
    fields = [field.name for field in built_in(SHOP).fields]
    clicks = sorted(
        ((click, session_id) for session_id, of in sessions.items() for click in of),
        key=lambda one: one[0].event_time,
    )
    partitions = shop.topic.partitions
    records = []
    for click, session_id in clicks:
        value = {"type": "click", "session_id": session_id, "event_time": click.event_time}
        value |= {"order": click.order, "time_source": click.time_source} | {
            name: getattr(click, name) for name in fields
        }
        place = int(session_id[1:]) % partitions
        records.append((place, session_id.encode(), orjson.dumps(value), click.event_time))
    end = clicks[-1][0].event_time + 7_200_000
    flush = orjson.dumps({"type": "heartbeat", "event_time": end, "flush": True})
    shop.send_all([*records, *((partition, None, flush, end) for partition in range(partitions))])


def test_the_clicks_of_a_shop_are_scored_by_its_own_models_and_the_audit_is_clean(own: Shop) -> None:
    known = known_sessions(SESSIONS, seed=7)
    publish(own, known.sessions)
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


def test_models_are_trained_on_the_topic_as_on_the_same_sessions_of_a_log(
    settings: Settings, tmp_path: Path
) -> None:
    shop = Shop(settings.model_copy(update={"shop": SHOP}), tmp_path / "logs")
    known = known_sessions(600, seed=5)
    publish(shop, known.sessions)
    recorded = read_recorded_windows(shop.settings)
    assert recorded.sessions == shop_windows(known.sessions, rules_of(shop.settings))
    assert (recorded.refused, recorded.late, recorded.open, recorded.cut) == ({}, 0, 0, 0)
    said = command(shop.settings, "train", "--shop", SHOP, "--from-topic")
    assert f"{len(recorded.sessions)} sessions; refused: none" in " ".join(said.split())
    bundle = load_bundle(shop.settings)
    assert (bundle.manifest.data.name, bundle.manifest.data.sha256) == (recorded.topic, recorded.sha256)
    shop.close()
