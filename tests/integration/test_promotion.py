"""A bundle is promoted while consumers work: no session is lost or repeated, every score names its bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from forgery import forge
from shop import Shop, plan_of, stop, wait_for

from clickstream.bundles.champion import promote
from clickstream.infra.settings import Settings
from clickstream.local.processes import Process

pytestmark = pytest.mark.integration

SESSIONS = 900


@pytest.fixture
def following(settings: Settings, tmp_path: Path) -> Iterator[Shop]:
    """A shop whose consumers use the bundle in use, in small steps."""
    shop = Shop(settings.model_copy(update={"max_poll_records": 50}), tmp_path / "logs")
    yield shop
    shop.close()


def variant(bundle: Path, shop: Shop, conversion: float) -> str:
    """A bundle that answers `conversion` where there is no evidence: a score that names another is wrong."""
    copy = Path(shutil.copytree(bundle, shop.settings.bundles / "copy"))
    return forge(copy, lambda manifest: manifest["base_rates"].update(conversion=conversion)).name


def told(consumer: Process, event: str) -> list[dict[str, Any]]:
    """Lines of a consumer's log."""
    whole, _, _ = consumer.log.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines() if f'"event": "{event}"' in line]


def taken(consumer: Process) -> list[tuple[str, str]]:
    """From which bundle to which a consumer went."""
    return [(line["before"], line["bundle"]) for line in told(consumer, "took the promoted bundle")]


def used(consumer: Process) -> str | None:
    """The bundle that a consumer scores with; None before it has begun."""
    begun = [line["bundle"] for line in told(consumer, "consuming")]
    return [*begun, *(bundle for _, bundle in taken(consumer))][-1] if begun else None


def test_two_promotions_and_a_kill_under_load_lose_and_repeat_nothing(following: Shop, bundle: Path) -> None:
    shop = following
    first, second, third = (variant(bundle, shop, rate) for rate in (0.31, 0.32, 0.33))
    folder = shop.settings.bundles
    promote(folder, first)
    plan = plan_of(shop.settings, SESSIONS)
    # Two parts a bundle: one to score while it is promoted, one for when it is surely in use.
    cuts = [len(list(plan.publications())) * part // 5 for part in range(6)]
    parts = iter(pairwise(cuts))
    shop.publish(plan, *next(parts))
    one, other = shop.consumer("one"), shop.consumer("other")
    # One that starts late would begin with the second.
    wait_for(lambda: used(one) == used(other) == first, "both have the first bundle")
    wait_for(lambda: len(shop.scores()) > 0, "some sessions of the first part are scored")
    shop.publish(plan, *next(parts))
    promote(folder, second)
    wait_for(lambda: taken(one) == taken(other) == [(first, second)], "the second bundle is taken")
    shop.publish(plan, *next(parts))
    stop(one)
    shop.drain(other)
    one = shop.consumer("one")
    shop.publish(plan, *next(parts))
    promote(folder, third)
    wait_for(lambda: used(one) == used(other) == third, "the third bundle is taken")
    shop.publish(plan, *next(parts))
    other.kill()
    other = shop.consumer("other")
    shop.drain(one, other)
    for consumer in (one, other):
        stop(consumer)

    report = shop.audit()
    assert report.clean, report
    assert report.scored == report.predictions_checked == SESSIONS
    assert set(report.bundles) == {first, second, third}
    assert sum(report.bundles.values()) == SESSIONS
    for part in by_partition(shop.scores()):
        by_bundle = [(name, list(scores)) for name, scores in groupby(part, key=bundle_of)]
        order = [(first, second, third).index(name) for name, _ in by_bundle]
        assert order == sorted(order)
        for _, scores in by_bundle:
            lessons = [score["models"]["lessons"] for score in scores]
            assert lessons == list(range(len(lessons))), "online models begin from the bundle's warm start"


def bundle_of(score: dict[str, Any]) -> str:
    """The bundle that a score names."""
    name: str = score["models"]["bundle"]
    return name


def by_partition(scores: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Scores in the order in which their sessions closed."""
    place = [(score["source"]["partition"], score["source"]["closing_offset"]) for score in scores]
    ordered = sorted(zip(place, range(len(scores)), strict=True))
    return [[scores[at] for _, at in part] for _, part in groupby(ordered, key=lambda placed: placed[0][0])]


def test_a_bundle_of_other_features_is_not_taken_and_the_reason_is_told_once(
    following: Shop, bundle: Path
) -> None:
    shop = following
    folder = shop.settings.bundles
    good = variant(bundle, shop, 0.31)
    promote(folder, good)
    copy = Path(shutil.copytree(folder / good, folder / "copy"))
    foreign = forge(copy, lambda manifest: manifest["feature_sets"].update(prefix="0123456789abcdef"))
    plan = plan_of(shop.settings, 200)
    half = len(list(plan.publications())) // 2
    shop.publish(plan, 0, half)
    consumer = shop.consumer("one")
    shop.drain(consumer)
    promote(folder, foreign.name)
    wait_for(lambda: bool(told(consumer, "promoted bundle not taken")), "the refusal is told")
    shop.publish(plan, half)
    shop.drain(consumer)
    better = variant(bundle, shop, 0.32)
    promote(folder, better)
    wait_for(lambda: taken(consumer) == [(good, better)], "the next good one is taken")
    stop(consumer)

    (refusal,) = told(consumer, "promoted bundle not taken")
    assert refusal["stays"] == good
    assert "feature set prefix 0123456789abcdef" in refusal["error"]
    assert "clickstream train" in refusal["remedy"]
    report = shop.audit()
    assert report.clean
    assert report.bundles == {good: 200}
