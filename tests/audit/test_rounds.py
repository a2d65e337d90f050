"""An audit in rounds says what one at the end says, and says it as soon as it can be known."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from factory import examples
from hypothesis import given
from hypothesis import strategies as st
from scored_log import START, FollowedLog, Oracle, ScoredLog
from small_logs import VISITS, a_day, put, refused_day, shop_log

from clickstream.audit.online import UNKNOWN
from clickstream.audit.spill import Spill
from clickstream.infra.errors import ClickstreamError
from clickstream.records.score import digest


def closings(log: ScoredLog) -> list[int]:
    """The record that caused each score."""
    return [score["source"]["closing_offset"] for score in log.contents(log.scores)]


def counts_at_once(log: ScoredLog, begin: int = 0) -> dict[str, Any]:
    """What one audit of the whole log counts."""
    report = log.audit(begin=begin)
    names = FollowedLog(log).counts()
    return {name: getattr(report, name) for name in names}


def needed(causes: list[int], committed: int) -> int:
    """How many published records there must be when the group has committed so far."""
    return max((at + 1 for at, cause in enumerate(causes) if cause < committed), default=0)


def spoil(log: ScoredLog, how: str, at: int, scores: list[int], letters: list[int]) -> None:
    """Do something to what was published; what caused it in truth follows in `scores` and `letters`."""
    if how == "lose score" and log.scores:
        at %= len(log.scores)
        del log.scores[at], scores[at]
    elif how == "lose letter" and log.letters:
        at %= len(log.letters)
        del log.letters[at], letters[at]
    elif how == "repeat score" and log.scores:
        line = log.scores[at % len(log.scores)]
        log.put(log.scores, "scores", 0, line.key, line.value)
        scores.append(NEVER)
    elif how == "repeat letter" and log.letters:
        line = log.letters[at % len(log.letters)]
        log.put(log.letters, "clicks.dead-letter", 0, line.key, line.value)
        letters.append(NEVER)
    elif how == "change" and log.scores:
        log.edit(log.scores, at % len(log.scores), put("missing", 77))
    elif how == "another cause" and log.scores:
        # A record at which the window is open: of any other, the rounds need not wait for what comes.
        source = orjson.loads(log.scores[at % len(log.scores)].value or b"")["source"]
        first, last = source["first_offset"], source["closing_offset"]
        cause = first + at % (last - first + 1)
        log.edit(log.scores, at % len(log.scores), put("source.closing_offset", cause))
    elif how == "another name" and log.scores:
        at %= len(log.scores)
        score = orjson.loads(log.scores[at].value or b"")
        log.edit(log.scores, at, put("opened_at", score["opened_at"] - 1))
        log.edit(log.scores, at, put("score_id", f"{score['session_id']}/{score['opened_at'] - 1}"))


NEVER = 1 << 40
"""The cause of a copy: it may come at any time."""

SPOILS = (
    "lose score",
    "lose letter",
    "change",
    "another cause",
    "another name",
    "repeat score",
    "repeat letter",
)


@given(
    VISITS,
    st.lists(st.tuples(st.sampled_from(SPOILS), st.integers(0, 60)), max_size=3),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5), st.booleans()), max_size=6),
    st.integers(0, 60) | st.just(0),
)
@examples(150)
def test_any_split_into_rounds_counts_what_one_audit_of_the_whole_counts(
    visits: list[Any], spoils: list[tuple[str, int]], splits: list[tuple[int, int, bool]], begin: int
) -> None:
    log = shop_log(visits)
    begin = min(begin, len(log.clicks))
    scores, letters = closings(log), [letter["offset"] for letter in log.contents(log.letters)]
    # Copies last: of what is there, and after it.
    for how, at in sorted(spoils, key=lambda one: SPOILS.index(one[0])):
        spoil(log, how, at, scores, letters)
    followed = FollowedLog(log, begin)
    seen = (0, 0)
    for committed, ahead, is_short in sorted(splits):
        committed = min(committed, len(log.clicks))
        seen = (
            min(len(log.scores), max(seen[0], needed(scores, committed) + ahead)),
            min(len(log.letters), max(seen[1], needed(letters, committed) + ahead)),
        )
        causes = [*scores[: seen[0]], *letters[: seen[1]], committed - 1]
        end = 1 + max(causes) if is_short and not spoils else None
        followed.round(committed, *seen, end=end)
    assert followed.end() == counts_at_once(log, begin)


@given(VISITS, st.integers(1, 10))
@examples(50)
def test_no_round_of_a_true_run_finds_anything(visits: list[Any], step: int) -> None:
    log = shop_log(visits)
    scores, letters = closings(log), [letter["offset"] for letter in log.contents(log.letters)]
    followed = FollowedLog(log)
    for committed in range(0, len(log.clicks) + step, step):
        found = followed.round(committed, needed(scores, committed), needed(letters, committed))
        assert found == ()


def test_a_copy_that_comes_rounds_after_its_score_is_a_duplicate() -> None:
    log = a_day()
    followed = FollowedLog(log)
    assert followed.round(12) == ()
    log.put(log.scores, "scores", 0, log.scores[2].key, log.scores[2].value)
    (finding,) = followed.round(12)
    assert (finding.kind, finding.id) == ("duplicate", log.contents(log.scores)[2]["score_id"])
    assert followed.round(12) == ()


def test_a_dead_letter_that_comes_again_is_a_duplicate() -> None:
    log = refused_day()
    followed = FollowedLog(log)
    assert followed.round(6) == ()
    log.put(log.letters, "clicks.dead-letter", 0, None, log.letters[0].value)
    (finding,) = followed.round(6)
    assert (finding.kind, finding.what) == ("duplicate", "dead letter")


def test_a_score_that_never_came_is_missing_once_the_group_has_committed_what_closes_its_window() -> None:
    log = a_day()
    gone = orjson.loads(log.scores.pop().value or b"")
    followed = FollowedLog(log)
    closing = gone["source"]["closing_offset"]
    assert followed.round(closing - 1) == ()
    assert followed.round(closing) == ()
    (finding,) = followed.round(closing + 1)
    assert (finding.kind, finding.id) == ("missing", gone["score_id"])
    assert followed.round(closing + 1) == ()


def test_a_score_that_is_ahead_of_the_committed_offset_waits() -> None:
    log = a_day()
    followed = FollowedLog(log)
    assert followed.round(3) == ()
    assert followed.spill.waiting == 5
    assert followed.round(12) == ()
    assert followed.spill.waiting == 0


@pytest.mark.parametrize("closing", [3, 99])
def test_a_made_up_score_is_unexpected_at_once_when_its_record_was_read_or_is_not_there(closing: int) -> None:
    log = a_day()
    log.put(log.scores, "scores", 0, b"zoe", log.scores[0].value)
    for path, value in (
        ("session_id", "zoe"),
        ("score_id", f"zoe/{START}"),
        ("opened_at", START),
        ("source.closing_offset", closing),
    ):
        log.edit(log.scores, -1, put(path, value))
    (finding,) = FollowedLog(log).round(8)
    assert (finding.kind, finding.id) == ("unexpected", f"zoe/{START}")


def test_a_score_of_a_window_that_is_still_open_is_not_judged_before_it_closes() -> None:
    log = a_day()
    first = log.scores[2]
    log.edit(log.scores, 2, put("source.closing_offset", 1))
    followed = FollowedLog(log)
    assert followed.round(5) == ()
    (finding,) = followed.round(12)
    assert (finding.kind, finding.found and finding.found.offset) == ("wrong", first.offset)


def test_what_differs_is_told_field_by_field_in_the_round_that_sees_it() -> None:
    log = a_day()
    log.edit(log.scores, 0, put("clicks", 9))
    (finding,) = FollowedLog(log).round(12)
    assert [difference.field for difference in finding.differences] == ["clicks"]


def test_every_round_tells_the_first_ten_of_a_kind_again() -> None:
    log = ScoredLog()
    for session in range(30):
        log.click(f"s{session}", session, end=True)
    log.heartbeat(100)
    log.publish()
    log.scores.clear()
    followed = FollowedLog(log)
    told = [len(followed.round(committed)) for committed in (17, 31)]
    assert told == [10, 10]
    assert followed.counts()["missing"] == 30


def test_a_copy_of_a_score_that_was_forgotten_is_unexpected() -> None:
    log = ScoredLog()
    for session in range(30):
        log.click(f"s{session:02}", session, end=True)
    log.heartbeat(100)
    log.publish()
    followed = FollowedLog(log, remembered=20)
    assert followed.round(31) == ()
    for at in (0, 29):
        log.put(log.scores, "scores", 0, log.scores[at].key, log.scores[at].value)
    assert {(f.kind, f.id.split("/")[0]) for f in followed.round(31)} == {
        ("unexpected", "s00"),
        ("duplicate", "s29"),
    }


def test_a_bundle_that_is_not_here_yet_is_looked_for_in_each_round() -> None:
    log = a_day()
    bundles: list[str] = []
    followed = FollowedLog(log, bundles=bundles)
    followed.round(9)
    bundles.append("oracle")
    followed.round(12)
    counts = followed.counts()
    assert counts["predictions_unchecked"] == {"bundle oracle is not here": 3, UNKNOWN: 2}
    assert counts["predictions_checked"] == 2


def test_more_bundles_than_are_kept_loaded_are_asked_each_for_its_own_scores() -> None:
    log = many(36)
    for at in range(36):
        log.edit(log.scores, at, put("models.bundle", f"b{at % 12}"))
    report = log.audit(bundles={f"b{number}": Oracle() for number in range(12)})
    assert not report.flawed
    assert report.predictions_checked == 36
    assert set(report.bundles.values()) == {3}


@pytest.mark.parametrize(
    "path", ["opened_at", "last_click_at", "source.partition", "source.first_offset", "source.closing_offset"]
)
def test_a_number_that_no_log_can_hold_is_wrong(path: str) -> None:
    log = a_day()
    value = (log.scores[0].value or b"").decode()
    old = orjson.loads(value)
    for name in path.split("."):
        old = old[name]
    name = path.rpartition(".")[2]
    log.scores[0].value = value.replace(f'"{name}":{old}', f'"{name}":{10**30}', 1).encode()
    report = log.audit()
    assert (report.wrong, report.missing) == (1, 1)
    assert any("64 bits" in finding.detail for finding in report.findings)


def many(sessions: int) -> ScoredLog:
    """One visit a minute, of a click each."""
    log = ScoredLog()
    for session in range(sessions):
        log.click(f"visit-{session}", session)
    log.heartbeat(sessions + 60)
    log.publish()
    return log


def test_the_digests_are_those_of_all_scores() -> None:
    log = many(50)
    report = log.audit()
    for name in ("same-log", "across-logs"):
        assert report.digests[name] == digest(log.contents(log.scores), name)


def peak_of(log: ScoredLog) -> int:
    """Bytes at most in use while a log is audited, beside what was in use before."""
    gc.collect()
    # Cycles wait for a collection, and the more there is beside them the longer.
    gc.freeze()
    tracemalloc.start()
    try:
        log.audit(bundles={})
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.unfreeze()


def test_memory_does_not_grow_with_the_sessions() -> None:
    """Without the pages of the database, whose number is bounded by SQLite.

    In a process of its own: threads that clients of former tests have left take memory, too.
    """
    code = (
        "from test_rounds import many, peak_of\n"
        "for sessions in (200, 800):\n"
        "    log = many(sessions)\n"
        "    assert log.audit(bundles={}).scored == sessions\n"
        "    print(min(peak_of(log) for _ in range(2)))"
    )
    here = Path(__file__).parent
    paths = os.pathsep.join(map(str, (here, here.parent, here.parents[1])))
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths},
        check=True,
        capture_output=True,
        text=True,
    )
    few, many_more = map(int, ended.stdout.split())
    assert many_more < few + 50_000


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files by /proc")
def test_what_does_not_fit_into_the_cache_goes_to_a_file_and_is_found_again() -> None:
    log = many(400)
    log.put(log.scores, "scores", 0, log.scores[7].key, log.scores[7].value)
    spilled = []
    spill = Spill(cache_kb=16)
    # The audit reads the dead letters after all scores.
    log.letters = _Looked(lambda: spilled.append(_spilled()))
    report = log.audit(spill=spill)
    assert (report.scored, report.duplicate, report.missing, report.unexpected) == (400, 1, 0, 0)
    assert spilled[0] > 64_000
    assert _spilled() == 0


class _Looked(list[Any]):
    """An empty log; `lookup` is called when it is read."""

    def __init__(self, lookup: Callable[[], object]) -> None:
        super().__init__()
        self._lookup = lookup

    def __getitem__(self, _at: Any) -> Any:
        self._lookup()
        return []


def _spilled() -> int:
    """Bytes of the nameless files of SQLite in this process."""
    links = [file for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
    return sum(file.stat().st_size for file in links if "etilqs_" in os.readlink(file))


def test_a_full_disk_is_told_with_what_to_do() -> None:
    log = many(400)
    spill = Spill(cache_kb=16)
    spill._database.execute("PRAGMA max_page_count = 20")
    with pytest.raises(ClickstreamError, match="SQLITE_TMPDIR") as told:
        log.audit(spill=spill)
    assert "full" in told.value.what
