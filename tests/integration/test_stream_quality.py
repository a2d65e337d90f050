"""July and August as a stream: the figures on the scores topic are those of the models, and drift shows."""

from __future__ import annotations

import datetime
import json
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from shop import Shop, plan_of, scraped, stop, wait_for

from clickstream.bundles.bundle import Bundle
from clickstream.consumer.model_metrics import WINDOW
from clickstream.files.dataset import read_dataset
from clickstream.infra.kafka import Producer
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.local.processes import Process, environment
from clickstream.models.case import Example
from clickstream.models.examples import example
from clickstream.models.figures import cluster_agreement, conversion_figures, revenue_figures
from clickstream.producer.faults import FaultOptions
from clickstream.producer.plan import PlanOptions, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.records.scorers import SCORERS

pytestmark = pytest.mark.integration

JULY = datetime.date(2008, 7, 1)

Answers = dict[str, dict[str, Any]]


@pytest.fixture
def summer(settings: Settings, real_bundle: Bundle, tmp_path: Path) -> Iterator[Shop]:
    """A shop whose bundle has learned from April to June, and whose consumer serves metrics."""
    changes = {"bundle": str(real_bundle.path), "metrics_port": free_port()}
    shop = Shop(settings.model_copy(update=changes), tmp_path / "logs")
    yield shop
    shop.close()


def judged(settings: Settings) -> dict[str, Any]:
    """What `models watch --until-end` prints."""
    words = [sys.executable, "-m", "clickstream", "models", "watch", "--until-end"]
    done = subprocess.run(words, env=environment(settings), capture_output=True, check=True, timeout=150)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def figures(sessions: list[tuple[Example, dict[str, Any]]], scorer: str) -> dict[str, float]:
    """Of a scorer's answers to sessions with evidence, as training computes them."""
    evident = [(one.outcome, said[scorer]) for one, said in sessions if one.case.evidence is not None]
    return {
        **conversion_figures([o.converted for o, _ in evident], [a["conversion"] for _, a in evident]),
        **revenue_figures([o.revenue or 0.0 for o, _ in evident], [a["revenue"] for _, a in evident]),
    }


def offline(bundle: Bundle, sessions: list[Example]) -> list[dict[str, Any]]:
    """What batch and reference answer to sessions of the file."""
    answers = bundle.predict([one.case for one in sessions])
    return [{name: answer._asdict() for name, answer in both.items()} for both in answers]


def test_the_figures_of_a_replay_are_those_of_the_models_on_the_file(
    summer: Shop,
    real_bundle: Bundle,
    dataset_path: Path,
) -> None:
    bundle, dataset = real_bundle, read_dataset(dataset_path)
    schedule = make_schedule(dataset, ScheduleOptions("dated", first=JULY))
    plan = make_plan(schedule, PlanOptions.of(summer.settings, 8, True, FaultOptions()))
    summer.publish(plan)
    consumer = summer.consumer()
    summer.drain(consumer)
    wait_for(lambda: scraped(summer.settings)["scores_total",] == schedule.session_count, "all is counted")
    served = scraped(summer.settings)
    stop(consumer)

    held_out = {name: example(session) for name, day, session in dataset.sessions() if day >= JULY}
    scores = cast(list[dict[str, Any]], summer.scores())
    assert {score["session_id"] for score in scores} == held_out.keys()
    assert len(scores) == len(held_out) == 6_995

    # From the file alone, by the models: batch and reference.
    examples = list(held_out.values())
    expected = {}
    answers = list(zip(examples, offline(bundle, examples), strict=True))
    for scorer in ("batch", "reference"):
        expected[scorer] = figures(answers, scorer)

    # From the stream: online learns the sessions of each partition in the order in which they closed.
    lanes: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for score in scores:
        lanes[score["source"]["partition"]].append(score)
    progressive = []
    for lane in lanes.values():
        models = bundle.online()
        for lesson, score in enumerate(sorted(lane, key=lambda score: score["source"]["closing_offset"])):
            one = held_out[score["session_id"]]
            said = models.predict(one.case)._asdict()
            assert score["predictions"]["online"] == said
            assert score["models"]["lessons"] == lesson
            models.learn(one.case, one.outcome)
            progressive.append((one, {"online": said, "batch": score["predictions"]["batch"]}))
    expected["online"] = figures(progressive, "online")
    expected["online"]["ari"] = cluster_agreement(
        [said["online"]["cluster"] for _, said in progressive],
        [said["batch"]["cluster"] for _, said in progressive],
    )

    found = judged(summer.settings)
    assert found["sessions"] == 6_995
    assert found["bundles"] == {bundle.id: 6_995}
    assert found["figures"].keys() == expected.keys()
    for scorer, wanted in expected.items():
        assert found["figures"][scorer] == pytest.approx(wanted, abs=1e-9, rel=0)

    assert expected["online"]["auc"] > 0.610
    assert expected["online"]["r2"] > 0.090
    assert expected["online"]["ari"] > 0.94

    # The consumer's own view: the same sums, and an AUC from bins.
    for scorer in SCORERS:
        wanted = expected[scorer]
        assert served["model_sessions", "since_start"] == wanted["conversion_n"]
        assert served["model_log_loss", scorer, "since_start"] == pytest.approx(wanted["log_loss"], abs=1e-9)
        assert served["model_revenue_mae", scorer, "since_start"] == pytest.approx(wanted["mae"], abs=1e-9)
        assert served["model_auc", scorer, "since_start"] == pytest.approx(wanted["auc"], abs=1e-4)
    assert served["model_sessions", "rolling"] == WINDOW
    assert served["bundle_info", bundle.id] == 1


def test_prices_that_rise_in_the_stream_are_found_and_named_by_consumer_and_watch(shop: Shop) -> None:
    settings = shop.settings.model_copy(update={"metrics_port": free_port()})
    watching = Process(["models", "watch", "--from-beginning"], settings, shop.folder / "watch.log")
    shop.processes.append(watching)
    plan = plan_of(settings, 1_600)
    half = len(plan) // 2
    shop.publish(plan, until=half)
    consumer = shop.consumer(settings=settings)
    shop.drain(consumer)
    assert scraped(settings)["drift_total", "mean_price"] == 0
    producer = Producer(settings)
    for sent in list(plan.publications())[half:]:
        value = sent.value
        if sent.is_click:
            click = orjson.loads(value)
            value = orjson.dumps(click | {"price": click["price"] * 1.5})
        producer.send(settings.clicks_topic, sent.partition, sent.key, value, timestamp=sent.timestamp)
    producer.flush()
    producer.close()
    shop.drain(consumer)
    wait_for(lambda: scraped(settings)["drift_total", "mean_price"] > 0, "the drift is counted")
    assert scraped(settings)["drift_total", "session_length"] == 0
    stop(consumer)
    lines = [json.loads(line) for line in consumer.log.read_text().splitlines() if '"drift"' in line]
    (line,) = (line for line in lines if line["feature"] == "mean_price")
    assert line["level"] == "warning"
    # Less than 1.5 where sessions of before were still to come from the other partition.
    assert 1.2 < line["after"] / line["before"] < 1.6
    assert judged(settings)["drift"]["mean_price"] == 1

    wait_for(lambda: '{"sessions":1600,' in watching.log.read_text(), "a line tells of all scores")
    watching.signal(signal.SIGINT)
    assert watching.wait(60) == 0
    told = json.loads(watching.log.read_text().splitlines()[-1])
    assert told["drift"]["mean_price"] == 1
    assert "mean_price" in [alarm["feature"] for alarm in told["alarms"]]
    assert told["since_start"]["sessions"] == told["rolling"]["sessions"] > 1_000
    assert told["since_start"]["batch"]["mae"] == pytest.approx(told["rolling"]["batch"]["mae"])
