"""A ledger of faults is believed only where each of them shows, and a baseline where nothing else differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from scored_log import MINUTE, START, ScoredLog

from clickstream.audit.ledger import LedgerLine, read_ledger
from clickstream.infra.errors import InputError, MissingFileError


def line(fault: str, order: int, shows_in: str, session_id: str = "alice", **more: Any) -> LedgerLine:
    """What the producer writes of a fault."""
    fields = {"fault": fault, "session_id": session_id, "order": order, "event_time": START}
    return LedgerLine(**fields | {"shows_in": shows_in} | more)


def sound() -> ScoredLog:
    """Alice and bob look at six pages each, a minute apart."""
    log = ScoredLog()
    for order in range(1, 7):
        log.click("alice", order, order)
        log.click("bob", order + 0.5, order)
    log.heartbeat(60)
    log.publish()
    return log


def faulty() -> tuple[ScoredLog, list[LedgerLine]]:
    """The same with a fault of each kind in alice's visit, and copies and disorder in bob's."""
    log = ScoredLog()
    log.click("alice", 1, 1)
    log.click("bob", 1.5, 1)
    log.click("bob", 2.5, 2)
    log.click("bob", 2.5, 2)
    log.send(b"alice", b'{"type": "click", "session_id": "alice", "price": -1}', START + 4 * MINUTE)
    log.click("bob", 4.5, 4)
    log.click("bob", 3.5, 3)
    log.click("alice", 5, 5)
    log.click("alice", 3, 3)
    log.click("bob", 5.5, 5)
    log.click("alice", 6, 6)
    log.click("bob", 6.5, 6)
    log.heartbeat(60)
    log.publish()
    return log, [
        line("drop", 2, "score.missing"),
        line("late", 3, "score.late"),
        line("malformed", 4, "dead-letter", reason="invalid", also_in="score.missing"),
        line("duplicate", 2, "score.duplicates", "bob"),
        line("reorder", 3, "nothing", "bob"),
    ]


def test_each_fault_is_found_where_the_ledger_says() -> None:
    log, lines = faulty()
    report = log.audit(ledger=lines)
    assert report.clean
    assert report.ledger is not None
    assert report.ledger.shown == {"drop": 1, "late": 1, "malformed": 1, "duplicate": 1}
    assert (report.ledger.lines, report.ledger.silent, report.ledger.absent) == (5, 1, {})


@pytest.mark.parametrize(
    "one",
    [
        line("drop", 5, "score.missing"),
        line("late", 5, "score.late"),
        line("duplicate", 5, "score.duplicates"),
        line("late", 5, "score.late", "nobody"),
        line("malformed", 5, "dead-letter", reason="not-json"),
        line("malformed", 5, "dead-letter", reason="invalid"),
        line("malformed", 5, "dead-letter", "bob"),
    ],
)
def test_a_fault_that_does_not_show_is_told(one: LedgerLine) -> None:
    log, lines = faulty()
    report = log.audit(ledger=[*lines, one])
    assert not report.clean
    assert report.ledger is not None
    assert report.ledger.absent == {one.fault: 1}
    (example,) = report.ledger.examples
    assert one.session_id in example
    assert "order 5" in example
    assert one.shows_in in example


def test_a_dead_letter_counts_for_the_session_in_its_value_when_its_key_is_another() -> None:
    log = ScoredLog()
    log.send(b"alice?", b'{"type":"click","session_id":"alice"}', START)
    log.send(None, b'{"type":"click","session_id":"alice"}', START)
    log.send(b"alice", b"\xff{", START)
    log.publish()
    lines = [line("malformed", order, "dead-letter") for order in (1, 2, 3)]
    assert log.audit(ledger=lines).clean
    assert not log.audit(ledger=[*lines, line("malformed", 4, "dead-letter")]).clean


def test_nothing_else_differs_from_a_run_without_faults() -> None:
    log, lines = faulty()
    report = log.audit(ledger=lines, baseline=sound().scores)
    assert report.clean
    assert report.baseline is not None
    assert (report.baseline.equal, report.baseline.differ, report.baseline.excused) == (1, 0, 1)


def test_a_session_that_differs_without_a_line_in_the_ledger_is_told() -> None:
    log, lines = faulty()
    without_alice, without_bob = lines[3:], lines[:3]
    for some, words in (
        (without_alice, "differ in what must be equal"),
        (without_bob, "1 duplicates; 0 in the baseline, 0 in the ledger"),
    ):
        report = log.audit(ledger=some, baseline=sound().scores)
        assert not report.clean
        assert report.baseline is not None
        assert report.baseline.differ == 1
        assert words in report.baseline.examples[0]


def test_sessions_scored_in_one_run_only_are_told() -> None:
    log, lines = faulty()
    bob = next(line for line in log.scores if line.key == b"bob")
    for run, words in (((log.scores, [bob]), "not scored"), (([bob], log.scores), "baseline only")):
        copy = ScoredLog()
        copy.clicks, copy.scores, copy.letters = log.clicks, list(run[0]), log.letters
        report = copy.audit(ledger=lines[3:], baseline=run[1])
        assert report.baseline is not None
        assert report.baseline.differ >= 1
        assert any(words in example for example in report.baseline.examples)


def test_a_session_of_the_ledger_must_be_scored_all_the_same() -> None:
    log, lines = faulty()
    report = log.audit(ledger=lines, baseline=[line for line in sound().scores if line.key == b"bob"])
    assert report.baseline is not None
    assert report.baseline.differ == 1


def test_a_ledger_is_read_as_the_producer_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    _, lines = faulty()
    file.write_bytes(b"".join(orjson.dumps(one.model_dump() | {"sequence": 3}) + b"\n" for one in lines))
    assert read_ledger(file) == lines


def test_a_ledger_that_is_none_is_refused_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    with pytest.raises(MissingFileError, match="no ledger"):
        read_ledger(file)
    good = orjson.dumps(line("drop", 2, "score.missing").model_dump())
    for bad, field in ((b'{"fault": "dro', "line"), (good.replace(b"score.missing", b"sky"), "shows_in")):
        file.write_bytes(good + b"\n" + bad)
        with pytest.raises(InputError, match=f"line 2 .*{field}"):
            read_ledger(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_ledger(tmp_path)
