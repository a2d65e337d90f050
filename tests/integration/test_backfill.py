"""Sessions of closed days from a file, onto the topic of scores, beside a live group."""

from __future__ import annotations

import datetime
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from factory import click_json
from object_store import BUCKET, ObjectStore
from shop import Shop, stop, wait_for

from clickstream.bundles.bundle import load_bundle
from clickstream.files.history import open_clicks
from clickstream.history.backfill import BackfillReport, Days, backfill
from clickstream.history.fold import fold_windows
from clickstream.infra.errors import FencedError, RefusedError
from clickstream.infra.kafka import TransactionalProducer, partition_for
from clickstream.infra.settings import Settings
from clickstream.local.processes import Process
from clickstream.records.score import Score, comparable
from clickstream.windows.fingerprint import rules_of
from clickstream.windows.partition import ClosedWindow

pytestmark = pytest.mark.integration

DAY = datetime.date(2026, 3, 2)
MIDNIGHT = 1_772_409_600_000
HOUR = 3_600_000

Visit = tuple[str, Sequence[int]]
"""A session id, and the event times of its clicks."""


def visits(count: int, begin: int, name: str = "v") -> list[Visit]:
    """Visits of two clicks, a second from one to the next."""
    return [(f"{name}{n}", (begin + n * 1_000, begin + n * 1_000 + 20_000)) for n in range(count)]


def records(some: Sequence[Visit]) -> list[tuple[str, int, bytes]]:
    """Their clicks in order of event time: session id, event time, value."""
    clicks = [
        (time, session_id, number) for session_id, times in some for number, time in enumerate(times, 1)
    ]
    return [
        (session_id, time, click_json(session_id=session_id, event_time=time, order=number, page=number))
        for time, session_id, number in sorted(clicks)
    ]


SEEN = visits(20, MIDNIGHT + HOUR)
"""What came onto the topic."""


@pytest.fixture(scope="module")
def stream(
    settings_in: Callable[[Path], Settings], bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """A group that has scored SEEN, and is two hours past the day."""
    folder = tmp_path_factory.mktemp("stream")
    shop = Shop(settings_in(folder / "home").model_copy(update={"bundle": str(bundle)}), folder)
    partitions = shop.topic.partitions
    shop.send_all(
        (partition_for(session_id.encode(), partitions), session_id.encode(), value, time)
        for session_id, time, value in records(SEEN)
    )
    until = MIDNIGHT + 26 * HOUR
    beat = b'{"type": "heartbeat", "event_time": %d}' % until
    shop.send_all((partition, None, beat, until) for partition in range(partitions))
    consumer = shop.consumer("one")
    shop.drain(consumer)
    stop(consumer)
    yield shop
    shop.close()


@pytest.fixture
def elsewhere(stream: Shop) -> Shop:
    """The same group, and a topic of scores that is empty."""
    scores = f"scores-{uuid4().hex[:12]}"
    return Shop(stream.settings.model_copy(update={"scores_topic": scores}), stream.folder)


def file_of(folder: Path, some: Sequence[Visit]) -> Path:
    """A log with a column a field."""
    file = folder / "clicks.csv"
    rows = ["visit,at,product,category,price,depth,number"]
    for session_id, times in some:
        rows += [f"{session_id},{time},A13,trousers,38,{n},{n}" for n, time in enumerate(times, 1)]
    file.write_text("\n".join(rows) + "\n")
    file.with_name("mapping.toml").write_text(MAPPING)
    return file


MAPPING = """
[clicks]
session_id = "visit"
event_time = { column = "at", format = "ms" }
order = "number"
product = "product"
category = "category"
price = "price"
price_2 = { constant = 1 }
page = "depth"
"""


def sessions_of(file: Path, settings: Settings) -> Iterator[ClosedWindow]:
    rules, mapping = rules_of(settings), file.with_name("mapping.toml")
    clicks = open_clicks([file], rules.shop, mapping, work=file.parent / "work", memory_mib=512, buckets=2)
    for bucket in range(clicks.buckets):
        yield from fold_windows(clicks.batches(bucket), rules.shop, rules)


def filled(shop: Shop, file: Path, day: datetime.date = DAY, **changes: object) -> BackfillReport:
    """What `clickstream backfill` does."""
    settings = shop.settings.model_copy(update=changes)
    sessions = sessions_of(file, settings)
    return backfill(sessions, Days(day, day), bundle=load_bundle(settings), settings=settings)


def test_what_the_stream_has_is_left_and_the_rest_of_the_day_is_published_once(
    stream: Shop, tmp_path: Path
) -> None:
    """The audit of the group has nothing against them, and a second run finds all of them there."""
    missed = visits(30, MIDNIGHT + 2 * HOUR, "m")
    over_midnight = ("late", (MIDNIGHT + 24 * HOUR - 1_000, MIDNIGHT + 24 * HOUR + 60_000))
    other_days = [*visits(3, MIDNIGHT - HOUR, "b"), *visits(2, MIDNIGHT + 25 * HOUR, "a")]
    live = stream.scores()
    file = file_of(tmp_path, [*SEEN, *missed, over_midnight, *other_days])

    assert filled(stream, file) == BackfillReport(published=31, present=20, other_days=5)

    scores: list[dict[str, Any]] = stream.scores()
    ours = [one for one in scores if one["source"]["topic"] == f"backfill:{DAY}"]
    assert [one for one in scores if one not in ours] == live
    assert {one["score_id"] for one in ours} == {
        f"{name}/{times[0]}" for name, times in [*missed, over_midnight]
    }
    for one in ours:
        Score.model_validate(one)
        assert one["predictions"]["batch"] is not None
        assert one["predictions"]["online"] is None
        assert one["error"] is None
    report = stream.audit()
    assert report.clean
    assert report.other_topics == 31
    assert filled(stream, file) == BackfillReport(present=51, other_days=5)


def test_scores_of_a_file_and_of_the_stream_are_equal(stream: Shop, elsewhere: Shop, tmp_path: Path) -> None:
    filled(elsewhere, file_of(tmp_path, SEEN))

    live, ours = (
        {one["score_id"]: comparable(one, "across-logs") for one in shop.scores()}
        for shop in (stream, elsewhere)
    )
    assert ours == {name: live[name] for name in ours}
    assert len(ours) == len(SEEN)


def test_a_run_that_is_killed_in_a_transaction_goes_on(elsewhere: Shop, tmp_path: Path) -> None:
    file = file_of(tmp_path, visits(2_500, MIDNIGHT + HOUR))
    mapping = file.with_name("mapping.toml")
    words = ["backfill", str(file), "--mapping", str(mapping), "--day", f"{DAY}"]
    killed = Process(words, elsewhere.settings, tmp_path / "killed.log", "after_produce:2")
    wait_for(lambda: killed.poll() is not None, "the back-fill was killed")
    assert killed.poll() == -signal.SIGKILL, killed.last_words()

    assert filled(elsewhere, file) == BackfillReport(published=1_500, present=1_000)

    names = Counter(str(one["score_id"]) for one in elsewhere.scores())
    assert len(names) == 2_500
    assert set(names.values()) == {1}
    assert len(elsewhere.scores(committed_only=False)) == 3_500


def test_files_in_a_store(elsewhere: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = file_of(tmp_path, visits(5, MIDNIGHT + HOUR))
    store = ObjectStore(tmp_path / "store.log")
    try:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        store.client.put_object(Bucket=BUCKET, Key="logs/clicks.csv", Body=file.read_bytes())
        words = ["backfill", f"s3://{BUCKET}/logs/", "--mapping", str(file.with_name("mapping.toml"))]
        run = Process([*words, "--day", f"{DAY}"], elsewhere.settings, tmp_path / "run.log")
        wait_for(lambda: run.poll() is not None, "the back-fill is done")
        assert run.poll() == 0, run.last_words()
    finally:
        store.stop()
    assert len({str(one["score_id"]) for one in elsewhere.scores()}) == 5
    assert filled(elsewhere, file) == BackfillReport(present=5)


def test_a_run_beside_another_takes_its_place(elsewhere: Shop, tmp_path: Path) -> None:
    """The first is refused by the broker, and publishes nothing any more."""
    settings = elsewhere.settings
    file = file_of(tmp_path, visits(3, MIDNIGHT + HOUR))

    def overtaken() -> Iterator[ClosedWindow]:
        TransactionalProducer(settings, f"{settings.group}-backfill").discard()
        yield from sessions_of(file, settings)

    with pytest.raises(FencedError):
        backfill(overtaken(), Days(DAY, DAY), bundle=load_bundle(settings), settings=settings)
    assert not elsewhere.scores()


def test_sessions_that_the_files_may_have_cut_are_told(elsewhere: Shop, tmp_path: Path) -> None:
    cut = [
        *visits(3, MIDNIGHT),
        *visits(2, MIDNIGHT + 12 * HOUR, "n"),
        *visits(4, MIDNIGHT + 23 * HOUR + HOUR // 2, "e"),
    ]
    assert filled(elsewhere, file_of(tmp_path, cut)) == BackfillReport(published=9, headless=3, endless=4)
    whole = [("before", [MIDNIGHT - HOUR]), *cut, ("after", [MIDNIGHT + 24 * HOUR + 1])]
    assert filled(elsewhere, file_of(tmp_path, whole)) == BackfillReport(present=9, other_days=2)


def test_a_session_that_the_group_may_still_have_open_is_left(elsewhere: Shop, tmp_path: Path) -> None:
    times = [MIDNIGHT + 24 * HOUR - 1, *(MIDNIGHT + 24 * HOUR + n * HOUR // 4 for n in range(7))]
    file = file_of(tmp_path, [("long", times), *visits(2, MIDNIGHT + HOUR)])
    assert filled(elsewhere, file) == BackfillReport(published=2, unfinished=1)


def test_a_day_that_the_group_has_not_passed_is_refused(elsewhere: Shop, tmp_path: Path) -> None:
    """No session is open; that none of the day is still to come is not known."""
    tomorrow = visits(5, MIDNIGHT + 25 * HOUR)
    with pytest.raises(RefusedError, match="2026-03-03 is not over"):
        filled(elsewhere, file_of(tmp_path, tomorrow), DAY + datetime.timedelta(days=1))
    assert not elsewhere.scores()


def test_a_group_that_has_read_nothing_is_refused(elsewhere: Shop, tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        filled(elsewhere, file_of(tmp_path, visits(5, MIDNIGHT)), group="another")
    assert "Is the name of the group right?" in refused.value.remedy


def test_a_group_with_other_rules_is_refused(elsewhere: Shop, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="gap was 1800000 and is 600000"):
        filled(elsewhere, file_of(tmp_path, visits(5, MIDNIGHT)), gap=600_000)
