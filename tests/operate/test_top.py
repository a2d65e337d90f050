"""A running group at a glance: what its snapshots show, and how it is drawn."""

from __future__ import annotations

import io
from threading import Event
from typing import Any, cast

import pytest
from rich.console import Console

from clickstream.cli.top import watched
from clickstream.infra.errors import UnavailableError, UsageError
from clickstream.infra.kafka import GroupState, Member
from clickstream.local.child import free_port
from clickstream.monitoring.health import Health
from clickstream.monitoring.metrics import Distribution, Sample
from clickstream.monitoring.serving import served
from clickstream.operate.group import GroupSnapshot, PartitionProgress, Watcher
from clickstream.operate.progress import GroupProgress
from clickstream.operate.scrape import Scrape, address_of, ask_all, quantile
from clickstream.terminal.top import render_group

DAY = 1_218_585_600_000
"""13 August 2008."""

INF = float("inf")


def snapshot(
    at: float, partitions: int = 2, scores: int = 0, letters: int = 0, **partition: Any
) -> GroupSnapshot:
    """A group of one consumer that has even partitions; each partition has had 100 records a second."""
    content = {
        "end": 100 * int(at),
        "last": DAY,
        "committed": 100 * int(at),
        "newest": DAY,
        "open_sessions": 7,
    }
    progress = tuple(
        PartitionProgress(p, "" if p % 2 else "one", **(content | partition), scores=scores // partitions)
        for p in range(partitions)
    )
    owned = tuple(range(0, partitions, 2))
    return GroupSnapshot(at, GroupState("Stable", (Member("one", owned),)), progress, scores, letters)


def view_of(*snapshots: GroupSnapshot, scrape: tuple[Scrape, ...] = ()) -> GroupProgress:
    view = GroupProgress("shop", 1_860_000)
    for one in snapshots:
        view.add(one, scrape)
    return view


def shown(view: GroupProgress, state: str = "", height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(render_group(view, state, height))
    return cast(io.StringIO, console.file).getvalue().splitlines()


def test_lag_is_shown_in_records_and_in_event_time() -> None:
    partition = PartitionProgress(
        0, "one", end=120, last=DAY + 61_000, committed=100, newest=DAY, open_sessions=3
    )
    assert (partition.lag, partition.behind_ms) == (20, 61_000)
    assert partition._replace(committed=120).behind_ms == 0
    fresh = partition._replace(committed=None, newest=None)
    assert (fresh.lag, fresh.behind_ms) == (120, 0)


def test_rates_are_over_the_last_seconds_and_event_time_runs_as_it_does() -> None:
    view = view_of(snapshot(10), snapshot(12, scores=30, letters=4, newest=DAY + 120_000, committed=1_100))
    assert view.rates() == (200, 100, 15)
    assert view.rates(1) == (100, 50, 7.5)
    assert view.dead_letters_a_second() == 2
    assert view.speed() == 60
    assert view.closes_within_s() == 31


def test_one_look_knows_no_rates_and_still_event_time_no_closing() -> None:
    assert view_of().as_dict() == {"group": "shop", "state": None}
    assert view_of(snapshot(10)).rates() == (0, 0, 0)
    still = view_of(snapshot(10), snapshot(12))
    assert still.closes_within_s() is None
    assert "closes" not in "".join(shown(still))


def test_what_is_long_past_is_forgotten() -> None:
    view = view_of(snapshot(0, committed=0), *(snapshot(float(at), committed=0) for at in range(100, 106)))
    assert view.rates().done == 0
    view.add(snapshot(106, committed=700))
    assert view.rates().done == 2 * 700 / 5


def test_a_quantile_is_taken_within_its_bucket_and_between_two_moments() -> None:
    before = ((0.1, 10.0), (0.5, 10.0), (INF, 10.0))
    now = ((0.1, 10.0), (0.5, 30.0), (INF, 30.0))
    assert quantile(0.5, now, before) == pytest.approx(0.3)
    assert quantile(0.5, now) == pytest.approx(0.2)
    assert quantile(0.99, ((0.1, 0.0), (INF, 5.0))) == 0.1
    assert quantile(0.5, now, now) is None
    assert quantile(0.5, ()) is None


@pytest.mark.parametrize(("partitions", "height"), [(8, 24), (8, 12), (200, 24), (200, 50)])
def test_it_fits_the_terminal_and_shows_those_that_are_behind(partitions: int, height: int) -> None:
    scrape = (Scrape("http://127.0.0.1:9100"), Scrape("http://127.0.0.1:9101", away="refused"))
    late = snapshot(12, partitions, committed=1_000, last=DAY + 3_600_000)
    view = view_of(snapshot(10, partitions), late, scrape=scrape)
    lines = shown(view, "no answer", height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for word in ("shop", "Stable, 1 member ", "60 min", "nobody", "no answer", "9101", "refused"):
        assert word in text, text
    assert ("more" in text) is (partitions + 10 > height), text


def test_drift_and_goals_without_a_visit_are_summed_over_the_consumers_that_say_them() -> None:
    scrape = (
        Scrape(
            "http://a:1", values={"clickstream_drift_total": 2, "clickstream_goals_without_visit_total": 7}
        ),
        Scrape(
            "http://b:1", values={"clickstream_drift_total": 1, "clickstream_goals_without_visit_total": 4}
        ),
        Scrape("http://c:1", away="refused"),
    )
    lines = shown(view_of(snapshot(10), scrape=scrape))
    assert lines[-1].split("  ")[:2] == ["drift 3", "goals without a visit 11"]
    assert "drift" not in "".join(shown(view_of(snapshot(10))))


def test_a_long_name_and_one_with_control_characters_are_shown_safely() -> None:
    partition = snapshot(10).partitions[0]._replace(owner="kafka-python-3.0.12-0f9e\x1b[2J")
    view = view_of(snapshot(10)._replace(partitions=(partition,)))
    text = "\n".join(shown(view))
    assert "\x1b" not in text
    assert "…" in text


def test_json_has_all_of_it() -> None:
    content = view_of(snapshot(10), snapshot(12, committed=1_150, last=DAY + 5_000)).as_dict("slow")
    assert content["group_state"] == "Stable"
    assert content["state"] == "slow"
    assert content["members"] == {"one": [0]}
    assert content["open_sessions"] == 14
    assert content["lag_records"] == 100
    assert content["lag_event_seconds"] == 5
    assert [row["owner"] for row in content["partitions"]] == ["one", ""]


class Flaky:
    """A watcher whose broker is away for a while."""

    def __init__(self, snapshots: list[GroupSnapshot | None]) -> None:
        self._snapshots = snapshots

    def snapshot(self) -> GroupSnapshot:
        found = self._snapshots.pop(0)
        if found is None:
            raise UnavailableError("Kafka at kafka:9092 did not do it")
        return found


def test_a_broker_that_is_away_is_said_and_the_last_picture_stays() -> None:
    view, stop = GroupProgress("shop", 1), Event()
    states = watched(
        cast(Watcher, Flaky([None, snapshot(10), None, snapshot(12)])), view, (), stop, every_s=0
    )
    said = [next(states) for _ in range(4)]
    assert ["did not do it" in state for state in said] == [True, False, True, False]
    assert view.now == snapshot(12)
    stop.set()
    assert next(states, None) is None


def test_consumers_are_asked_whether_they_are_ready() -> None:
    health, times = Health(), Distribution("clickstream_close_to_score_seconds")
    times.add(0.02, 10)
    samples = [
        Sample("clickstream_close_to_score_seconds", times),
        Sample("clickstream_dead_letters_total", 2, ("late",)),
        Sample("clickstream_dead_letters_total", 3, ("future",)),
        Sample("clickstream_model_log_loss", 0.2, ("batch", "stream")),
        Sample("clickstream_model_log_loss", 0.3, ("online", "stream")),
        Sample("clickstream_lag_records", 7),
    ]
    with served("127.0.0.1", free_port(), lambda: samples, health=health) as port:
        (scrape,) = ask_all([address_of(f"127.0.0.1:{port}")])
        assert (scrape.ready, scrape.reasons) == (False, ("it is starting",))
        health.turned(partitions=[0, 3])
        ready, away = ask_all([scrape.address, "http://127.0.0.1:9"])
    assert (ready.ready, ready.partitions) == (True, (0, 3))
    assert ready.values["clickstream_dead_letters_total"] == 5
    assert ready.values["clickstream_ready"] == 1
    assert ready.values["clickstream_lag_records"] == 7
    # A sum of them would mean nothing.
    assert "clickstream_model_log_loss" not in ready.values
    assert ready.labelled["clickstream_model_log_loss", "online", "stream"] == 0.3
    assert quantile(0.5, ready.latency) == pytest.approx(0.0175)
    assert away.away
    assert not away.ready


def test_addresses_are_taken_as_people_write_them() -> None:
    for url in ("127.0.0.1:9100", "http://127.0.0.1:9100", "http://127.0.0.1:9100/metrics"):
        assert address_of(url) == "http://127.0.0.1:9100"
    assert address_of("http://[::1]:9100/") == "http://[::1]:9100"
    for url in ("", "9100", "host", "https://host:9100", "host:port"):
        with pytest.raises(UsageError):
            address_of(url)
