"""Scores of sessions that are open, on real servers: what a subscriber gets, whatever the steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from shop import Shop, plan_of, stop

from clickstream.audit.follow import Follower
from clickstream.audit.spill import Spill
from clickstream.infra.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture
def opened(settings: Settings, bundle: Path, tmp_path: Path) -> Iterator[Shop]:
    """A shop that scores its sessions at each click."""
    shop = Shop(settings.model_copy(update={"bundle": str(bundle), "open_scores": "each"}), tmp_path / "logs")
    yield shop
    shop.close()


def test_each_click_has_one_open_score_by_the_schema(opened: Shop) -> None:
    plan = plan_of(opened.settings, 300)
    opened.publish(plan)
    consumer = opened.consumer()
    opened.drain(consumer)
    stop(consumer)

    found = opened.open_scores()
    schema = Draft202012Validator(json.loads(Path("docs/schemas/open-score.json").read_text()))
    for score in found:
        schema.validate(score)
    assert len({score["open_score_id"] for score in found}) == len(found) == plan.clicks
    seen: dict[str, list[int]] = {}
    for score in found:
        seen.setdefault(score["session_id"], []).append(score["clicks"])
    closed = {str(score["session_id"]): score["clicks"] for score in opened.scores()}
    # On one partition, in the order of the log: a visitor's clicks are counted up.
    assert seen == {name: list(range(1, int(str(clicks)) + 1)) for name, clicks in closed.items()}
    assert all(score["predictions"]["batch"] and score["predictions"]["online"] for score in found)
    assert opened.open_sessions() == 0
    report = opened.audit()
    assert report.clean, report.findings
    assert report.opened.expected == report.opened.predictions_checked == plan.clicks
    with Spill() as spill:
        follower = Follower(opened.settings, opened.settings.bundle, spill)
        for _ in follower.round():
            pass
        followed = follower.report()
        follower.close()
    assert followed.clean, followed.findings
    assert followed.opened == report.opened


def test_they_do_not_depend_on_steps_and_consumers_and_leave_scores_as_they_are(
    shop: Shop, settings: Settings, tmp_path: Path
) -> None:
    plan = plan_of(shop.settings, 300)
    shop.publish(plan)
    alone = shop.consumer()
    shop.drain(alone)
    stop(alone)
    plain = shop.digest()

    runs: list[list[dict[str, Any]]] = []
    for number, (size, consumers) in enumerate(((5_000, 1), (7, 1), (150, 3))):
        changes = {
            "group": f"{settings.group}-{number}",
            "scores_topic": f"{settings.scores_topic}-{number}",
            "open_scores_topic": f"{settings.open_scores_topic}-{number}",
            "open_scores": "each",
            "open_conditions": "sure: online.conversion > 0.5 and clicks > 2; second: clicks == 2",
            "max_poll_records": size,
        }
        other = Shop(shop.settings.model_copy(update=changes), tmp_path / f"logs-{number}")
        try:
            running = [other.consumer() for _ in range(consumers)]
            other.drain(*running)
            for process in running:
                stop(process)
            assert other.digest() == plain
            runs.append(sorted(other.open_scores(), key=lambda score: score["open_score_id"]))
        finally:
            other.close()
    assert len(runs[0]) == plan.clicks
    assert runs[0] == runs[1] == runs[2]
    fired = [(score["session_id"], name) for score in runs[0] for name in score["conditions"]]
    assert len(fired) == len(set(fired))
    assert {name for _, name in fired} == {"sure", "second"}
