"""The audit has a reading of its own: a fault of the code that consumers run is not on both sides of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factory import examples, parse, prefix, reference
from hypothesis import given
from oracle import Read as Written
from oracle import crowded_logs, logs, rules_to_keep
from scored_log import MINUTE, START, ScoredLog
from small_logs import SHOP

from clickstream.audit import plain
from clickstream.audit.expected import facts
from clickstream.audit.independent import IndependentReading, ReadWindow
from clickstream.audit.report import AuditReport
from clickstream.features.outcome import Outcome
from clickstream.features.session import Session
from clickstream.features.shop import UCI553, Shop
from clickstream.infra.settings import Settings
from clickstream.records.click import Click
from clickstream.windows.open_session import OpenSession
from clickstream.windows.partition import EVERY_SESSION, Partition
from clickstream.windows.rules import Rules


@given(logs | crowded_logs, rules_to_keep)
@examples(400)
def test_on_any_log_it_makes_of_the_clicks_what_the_consumer_makes(log: list[Written], rules: Rules) -> None:
    logic = Partition(rules)
    again = IndependentReading(rules, UCI553.definition, whole=True)
    for offset, timestamp, record in log:
        logic.closed.clear()
        logic.refused.clear()
        logic.advance(offset, timestamp, record)
        reads = [
            ReadWindow(
                facts(UCI553, closed, reference(closed.session), "clicks", 0, ""),
                *[prefix(closed.session)] * 2,
            )
            for closed in logic.closed
        ]
        refused = logic.refused[0].reason if logic.refused else None
        early = logic.early.get(EVERY_SESSION, -1)
        assert again.advance(offset, timestamp, record, reads, refused, logic.open_sessions, early) == []


def test_it_imports_nothing_of_the_code_that_it_checks() -> None:
    for module in ("plain.py", "independent.py"):
        text = (Path(plain.__file__).parent / module).read_text()
        for name in ("features.fold", "features.session", "features.shop", "consumer"):
            assert f"clickstream.{name}" not in text, (module, name)


def busy_log() -> ScoredLog:
    """Visits with late clicks, copies, pauses, ends, a robot, a flush, and one that is forgotten."""
    log = ScoredLog(SHOP.model_copy(update={"max_open_sessions": 100, "max_clicks": 8, "max_pending": 50}))
    for number in range(40):
        start = number * 1.7
        for order in range(1, 2 + number % 7):
            log.click(
                f"visit-{number}",
                start + order * 0.9,
                order + (order > 3),
                product=f"P{(number * order) % 5}",
                category=("skirts", "sale", "blouses")[(number + order * order) % 3],
                price=17.0 + (number * 7 + order * 3) % 23,
                price_2=1 + (number + order) % 2,
                page=1 + (number * order) % 5,
                end=number % 5 == 0 and order == number % 7,
            )
            if order % 3 == 0:
                log.click(f"visit-{number}", start + order * 0.9, order + (order > 3))
        if number % 6 == 4:
            log.click(f"visit-{number}", start + 1.3, 40, price=90.0, page=5)
    log.click("left", 79.1, 1)
    log.click("left", 79.9, 2)
    log.send(b"left", b'{"type":"forget","session_id":"left"}', START + 80 * MINUTE)
    for order in range(20):
        log.click("robot", 80 + order * 0.1, order + 1)
    log.click("ghost", 85.2)
    log.heartbeat(85.3, flush=True)
    log.click("last", 99, end=True)
    log.heartbeat(300)
    return log


def audit_of(log: ScoredLog, **options: Any) -> AuditReport:
    log.publish()
    return log.audit(**options)


def test_a_run_without_a_bug_is_clean_and_read_twice() -> None:
    report = audit_of(busy_log())
    assert report.verdict == "exactly once", report.findings
    assert report.read_twice == report.windows > 30
    assert sum(letters.found for letters in report.dead_letters.values()) > 0


Bug = Callable[[pytest.MonkeyPatch], None]


def _first_click_counts_twice(patch: pytest.MonkeyPatch) -> None:
    right = Session.add

    def add(self: Session, click: Any, offset: int) -> bool:
        counted = right(self, click, offset)
        if self.body.clicks == 1:
            self.body.num_high_price_views__count += 1
        return counted

    patch.setattr(Session, "add", add)


def _late_clicks_take_the_last_place(patch: pytest.MonkeyPatch) -> None:
    right = Session.add_late

    def add_late(self: Session, click: Any, offset: int) -> None:
        right(self, click, offset)
        self.last = click

    patch.setattr(Session, "add_late", add_late)


def _late_clicks_are_left_out_of_the_features(patch: pytest.MonkeyPatch) -> None:
    right = Session.add_late

    def add_late(self: Session, click: Any, offset: int) -> None:
        body = self.body.copied()
        right(self, click, offset)
        if body.clicks:
            self.body = body
            self.body.clicks += 1

    patch.setattr(Session, "add_late", add_late)


def _the_spread_is_that_of_a_sample(patch: pytest.MonkeyPatch) -> None:
    right = UCI553.aggregate.features

    def wrong(self: Any) -> dict[str, Any]:
        found: dict[str, Any] = right(self)
        n = self.clicks
        return found | {"std_price": found["std_price"] * (n / (n - 1)) ** 0.5 if n > 1 else 0.0}

    patch.setattr(UCI553.aggregate, "features", wrong)


def _prefix_sees_the_last_product(patch: pytest.MonkeyPatch) -> None:
    right = Shop.evidence

    def wrong(self: Shop, session: Session) -> dict[str, Any] | None:
        found = right(self, session)
        return None if found is None else found | {"last_product": session.last.product}

    patch.setattr(Shop, "evidence", wrong)


def _outcome_takes_page_five_only(patch: pytest.MonkeyPatch) -> None:
    def wrong(_: Shop, last: Any) -> Outcome:
        return Outcome(last.price_2 == 1 or last.page >= 5, last.price)

    patch.setattr(Shop, "decided_by", wrong)


def _a_gap_of_exactly_the_limit_parts(patch: pytest.MonkeyPatch) -> None:
    right = OpenSession.settle

    def settle(
        self: OpenSession, session_id: str, watermark: int, rules: Rules, last_word: Any = "gap"
    ) -> Any:
        return right(self, session_id, watermark, shorter(rules), last_word)

    patch.setattr(OpenSession, "settle", settle)
    due = OpenSession.due
    patch.setattr(OpenSession, "due", lambda self, rules: due(self, shorter(rules)))


def shorter(rules: Rules) -> Rules:
    return replace(rules, gap=rules.gap - 1)


def _copies_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    right = Partition._wait

    def wait(self: Partition, offset: int, click: Any, session: OpenSession) -> None:
        before = [pending.copies for pending in session.pending]
        right(self, offset, click, session)
        for pending, copies in zip(session.pending, before, strict=False):
            if len(session.pending) == len(before):
                pending.copies = copies

    patch.setattr(Partition, "_wait", wait)


def _missing_counts_one_too_many(patch: pytest.MonkeyPatch) -> None:
    right: Callable[[Session], int] = Session.__dict__["missing"].fget
    patch.setattr(Session, "missing", property(lambda self: right(self) + bool(right(self))))


def _an_end_is_not_seen(patch: pytest.MonkeyPatch) -> None:
    right = Partition._arrive

    def arrive(self: Partition, offset: int, record: Click) -> None:
        right(self, offset, record.model_copy(update={"end": False}))

    patch.setattr(Partition, "_arrive", arrive)


def _windows_take_a_click_too_many(patch: pytest.MonkeyPatch) -> None:
    right = Partition.__init__

    def init(self: Partition, rules: Rules, *more: Any, **named: Any) -> None:
        right(self, replace(rules, max_clicks=rules.max_clicks + 1), *more, **named)

    patch.setattr(Partition, "__init__", init)


def _the_record_before_is_said_to_have_closed_it(patch: pytest.MonkeyPatch) -> None:
    right = Partition._close

    def close(self: Partition, session_id: str, session: OpenSession, closed_by: Any, offset: int) -> None:
        right(self, session_id, session, closed_by, offset - 1)

    patch.setattr(Partition, "_close", close)


def _late_clicks_are_waited_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Partition, "watermark", property(lambda self: self.newest - self.rules.allowed_lateness - 60_000)
    )


def _the_first_offset_is_lost(patch: pytest.MonkeyPatch) -> None:
    def span(self: Session, offset: int) -> None:
        self.first_offset = self.last_offset = offset

    patch.setattr(Session, "_span", span)


def _a_flush_forgets_those_that_wait(patch: pytest.MonkeyPatch) -> None:
    right = Partition._flush

    def flush(self: Partition, offset: int) -> None:
        for session_id, session in list(self.sessions.items()):
            if session.window is None:
                del self.sessions[session_id]
                self._due.pop(session_id, None)
                self.open_sessions -= 1
        right(self, offset)

    patch.setattr(Partition, "_flush", flush)


def _what_is_to_be_forgotten_is_scored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Partition, "_drop", lambda *_: None)


def _products_are_compared_by_their_first_letter(patch: pytest.MonkeyPatch) -> None:
    right = UCI553.aggregate.add

    def add(self: Any, click: Any) -> None:
        right(self, click)
        self.product_values.discard(click.product)
        self.product_values.add(click.product[:1])

    patch.setattr(UCI553.aggregate, "add", add)


BUGS = [value for name, value in list(globals().items()) if name.startswith("_") and callable(value)]


def test_there_are_bugs_enough() -> None:
    assert len(BUGS) >= 15


@pytest.mark.parametrize("bug", BUGS, ids=[bug.__name__.strip("_") for bug in BUGS])
def test_a_bug_in_the_code_that_scores_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    report = audit_of(busy_log())
    assert report.verdict == "not clean"
    assert any("plain reading" in finding.detail for finding in report.findings)


def many_visits() -> ScoredLog:
    log = ScoredLog(Settings(clicks_topic="clicks", group="group"))
    for number in range(400):
        log.click(f"visit-{number}", number * 0.5, 1)
        log.click(f"visit-{number}", number * 0.5 + 0.2, 2, page=4, price_2=2)
    log.heartbeat(400)
    return log


def test_the_sample_finds_a_bug_that_one_session_in_three_has(monkeypatch: pytest.MonkeyPatch) -> None:
    report = audit_of(many_visits(), independent=False)
    assert report.verdict == "exactly once"
    assert 20 < report.read_twice < 100

    right = Session.add

    def add(self: Session, click: Any, offset: int) -> bool:
        counted = right(self, click, offset)
        if offset % 3 == 0:
            self.body.page_max = (self.body.page_max or 0) + 1
        return counted

    monkeypatch.setattr(Session, "add", add)
    report = audit_of(many_visits(), independent=False)
    assert report.verdict == "not clean"
    assert 5 < report.wrong < 60


def test_more_open_sessions_than_are_remembered_halve_the_draw() -> None:
    rules = Rules()
    logic, again = Partition(rules), IndependentReading(rules, UCI553.definition, whole=False, most=10)
    log = many_visits()
    for line in log.clicks:
        logic.closed.clear()
        record = parse(line.value, line.key)
        logic.advance(line.offset, line.timestamp, record)
        reads = [
            ReadWindow(
                facts(UCI553, closed, reference(closed.session), "clicks", 0, ""),
                *[prefix(closed.session)] * 2,
            )
            for closed in logic.closed
            if again.is_drawn(closed.session_id)
        ]
        assert not again.advance(line.offset, line.timestamp, record, reads, None, logic.open_sessions, -1)
        assert len(again._plain.visits) <= 10
    assert 0 < again.windows < 40


def test_what_the_bound_on_open_sessions_closes_is_taken_on_trust_by_a_sample() -> None:
    log = ScoredLog(SHOP.model_copy(update={"max_open_sessions": 20}))
    for number in range(400):
        log.click(f"visit-{number}", number * 0.05, 1)
    log.heartbeat(400)
    report = audit_of(log, independent=False)
    assert report.verdict == "exactly once", report.findings
    assert report.read_twice > 20
    assert audit_of(log, independent=True).verdict == "exactly once"
