"""Training on a recorded stream: the same sessions teach the same as from a file."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import typer
from shop import Shop
from typer.testing import CliRunner

from clickstream.bundles.bundle import load_bundle
from clickstream.cli.train import train as command
from clickstream.files.dataset import Dataset
from clickstream.infra.errors import InputError
from clickstream.infra.settings import Settings, as_environment
from clickstream.offline.recorded import read_recorded
from clickstream.producer.faults import parse_faults
from clickstream.producer.plan import Plan, PlanOptions, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.training.training import TrainingSession, train

pytestmark = pytest.mark.integration

SESSIONS = 800


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return synthetic_dataset(SESSIONS, seed=3)


def plan(settings: Settings, dataset: Dataset, faults: str = "") -> Plan:
    """On the days of the dataset, as a real shop's clicks would lie."""
    schedule = make_schedule(dataset, ScheduleOptions(calendar="dated"))
    return make_plan(schedule, PlanOptions.of(settings, settings.partitions, True, parse_faults(faults)))


def in_the_order_of(recorded: Sequence[TrainingSession], dataset: Dataset) -> list[TrainingSession]:
    """The sessions of the file, those of a day in the order of the stream: the file knows no times."""
    from_file = {visit[0]: TrainingSession(*visit) for visit in dataset.visits()}
    return [from_file[one.session_id] for one in recorded]


def test_a_model_trained_on_a_replayed_topic_equals_the_one_trained_on_the_file(
    shop: Shop, dataset: Dataset
) -> None:
    """All but what only the source decides: its name, its hash."""
    shop.publish(plan(shop.settings, dataset))
    recorded = read_recorded(shop.settings)
    assert (len(recorded.sessions), recorded.clicks) == (SESSIONS, len(dataset))
    assert (recorded.refused, recorded.late, recorded.open, recorded.cut) == ({}, 0, 0, 0)
    streamed = train(recorded.sessions, data_sha256=recorded.sha256, data_name=recorded.topic)
    filed = train(
        in_the_order_of(recorded.sessions, dataset), data_sha256=dataset.sha256, data_name=dataset.name
    )
    data = filed.contents.data
    assert streamed.contents.model_copy(update={"data": data}) == filed.contents
    assert streamed.evaluation == filed.evaluation
    assert streamed.online == filed.online


def test_what_cannot_be_counted_and_what_is_still_open_is_told(shop: Shop, dataset: Dataset) -> None:
    faulty = plan(shop.settings, dataset, "late=0.02,malformed=0.02")
    shop.publish(faulty, until=len(list(faulty.publications())) // 2)
    recorded = read_recorded(shop.settings)
    assert recorded.late > 0
    assert sum(recorded.refused.values()) > 0
    assert recorded.open > 0
    assert 0 < len(recorded.sessions) < SESSIONS
    opened = [one.session.opened_at for one in recorded.sessions]
    assert opened == sorted(opened)
    assert read_recorded(shop.settings).sha256 == recorded.sha256


def test_a_topic_without_a_closed_session_cannot_be_learned_from(shop: Shop) -> None:
    with pytest.raises(InputError, match="no session on"):
        read_recorded(shop.settings)


def test_the_command_trains_on_the_topic_named(
    shop: Shop, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish(plan(shop.settings, dataset))
    for name, value in as_environment(shop.settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CLICKSTREAM_CLICKS_TOPIC")
    app = typer.Typer()
    app.command()(command)
    topic = shop.settings.clicks_topic
    result = CliRunner().invoke(app, ["--from-topic", "--clicks-topic", topic], catch_exceptions=False)
    assert result.exit_code == 0
    assert f"{SESSIONS} sessions; refused: none" in " ".join(result.output.split())
    manifest = load_bundle(shop.settings.bundles).manifest
    assert (manifest.data.name, manifest.data.sessions) == (topic, SESSIONS)
