"""A log of clicks, and what must be published of it: the pure parts of the engine, without servers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from factory import click_json

from clickstream.audit.evaluation import AuditedLogs, evaluate_run
from clickstream.audit.ledger import LedgerLine
from clickstream.audit.partition import CommittedRange, TopicsAtStart
from clickstream.audit.predictions import Predictor
from clickstream.audit.report import AuditReport, Finding, Place
from clickstream.audit.rounds import REMEMBERED, AuditRounds
from clickstream.audit.spill import Spill
from clickstream.bundles.bundle import Bundle, Case, ScorerOutput
from clickstream.consumer.open_scores import OpenScores
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.infra.settings import Settings, opens
from clickstream.models.case import DECIMALS
from clickstream.models.clusters import NAMES
from clickstream.models.online import OnlineModels
from clickstream.models.scorers import FITTED, HONEST
from clickstream.records.click import InvalidRecordError
from clickstream.records.score import DeadLetter
from clickstream.records.shop_click import parser_of
from clickstream.windows.fingerprint import fingerprint, rules_of
from clickstream.windows.open_points import OpenPoints
from clickstream.windows.partition import Partition

MINUTE = 60_000
START = 1_200_000_000_000


@dataclass
class Line:
    """A record as it was read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Oracle:
    """A bundle whose answers are arithmetic on the features."""

    id = "oracle"

    def predict(
        self, cases: Sequence[Case], only: Collection[str] | None = None
    ) -> list[dict[str, ScorerOutput]]:
        answers: list[dict[str, ScorerOutput]] = []
        for case in cases:
            clicks = _clicks(case.whole)
            seen = 0 if case.evidence is None else _clicks(case.evidence)
            worth = _worth(case, 10.0 + seen)
            honest = _answer(1 / (1 + seen), worth, clicks % 2, NAMES[clicks % 2])
            other = _answer(1 / (1 + clicks), 20.0, clicks % 2, NAMES[clicks % 2])
            answers.append(
                {
                    scorer.name: honest if scorer.name in HONEST else other
                    for scorer in FITTED
                    if only is None or scorer.name in only
                }
            )
        return answers

    def online(self) -> OnlineOracle:
        return OnlineOracle()


def _clicks(features: Mapping[str, Any]) -> int:
    """How many they are of: each shop names it in its own way."""
    count: int = features["session_length" if "session_length" in features else "clicks"]
    return count


def _worth(case: Case, revenue: float) -> float | None:
    """Nothing of a shop whose goal has no value; all but the e-shop's are such here."""
    return float(revenue) if "session_length" in case.whole else None


def _answer(conversion: float, revenue: float | None, cluster: int, name: str) -> ScorerOutput:
    return ScorerOutput(round(conversion, DECIMALS), revenue, cluster, name)


class OnlineOracle:
    """Learns how many sessions there were."""

    def __init__(self) -> None:
        self.lessons = 0

    def tabled(self, cases: Sequence[Case]) -> None:
        """There is nothing to read of them."""

    def expect(self, cases: Sequence[Case], table: None, first: int) -> None:
        """Every case is answered alone."""

    def predict(self, case: Case) -> ScorerOutput:
        if case.evidence is None:
            return _answer(1.0, _worth(case, 10.0), 0, NAMES[0])
        return _answer(1 / (1 + self.lessons), _worth(case, self.lessons), 0, NAMES[0])

    def learn(self, _case: Case, _outcome: object) -> None:
        self.lessons += 1


@dataclass
class ScoredLog:
    """Clicks that a test sends, what is published of them, and the audit of both.

    `partial_before`: windows opened by then are marked as rebuilt partly.
    """

    settings: Settings = field(default_factory=lambda: Settings(clicks_topic="clicks", group="group"))
    partial_before: int = -1
    bundle: Oracle = field(default_factory=Oracle)
    clicks: list[Line] = field(default_factory=list)
    scores: list[Line] = field(default_factory=list)
    letters: list[Line] = field(default_factory=list)
    opened: list[Line] = field(default_factory=list)
    _read: dict[int, int] = field(default_factory=dict)
    _logic: dict[int, Partition] = field(default_factory=dict)
    _online: dict[int, OnlineOracle] = field(default_factory=dict)
    _points: dict[int, OpenPoints] = field(default_factory=dict)

    def send(self, key: bytes | None, value: bytes | None, timestamp: int, partition: int = 0) -> int:
        """Append a record; its offset."""
        offset = sum(line.partition == partition for line in self.clicks)
        self.clicks.append(Line("clicks", partition, offset, timestamp, key, value))
        return offset

    def click(self, session_id: str, minute: float, order: int | None = None, **changes: Any) -> int:
        """Append a click at `minute` after the start; its offset."""
        partition = changes.pop("partition", 0)
        at = START + round(minute * MINUTE)
        fields = {"session_id": session_id, "event_time": at} | changes
        if order is not None:
            fields["order"] = order
        if self.settings.shop != "uci553":
            return self.send(session_id.encode(), orjson.dumps({"type": "click"} | fields), at, partition)
        return self.send(session_id.encode(), click_json(**fields), at, partition)

    def heartbeat(self, minute: float, flush: bool = False, partition: int = 0) -> int:
        """Append a heartbeat; its offset."""
        at = START + round(minute * MINUTE)
        return self.send(
            None, orjson.dumps({"type": "heartbeat", "event_time": at, "flush": flush}), at, partition
        )

    def publish(self) -> None:
        """Publish what the records appended since the last call produce."""
        shop = rules_of(self.settings).shop
        parser = parser_of(shop.definition)
        opened = OpenScores(self.settings) if opens(self.settings) else None
        scorer = WindowScorer(
            cast(Bundle, self.bundle), self.settings.clicks_topic, fingerprint(self.settings), shop, opened
        )
        for line in self.clicks:
            p = line.partition
            if line.offset < self._read.get(p, 0):
                continue
            self._read[p] = line.offset + 1
            logic = self._logic.get(p)
            if logic is None:
                logic = self._logic[p] = Partition(
                    rules_of(self.settings), partial_before=self.partial_before
                )
                self._points[p] = OpenPoints(logic)
            try:
                logic.advance(
                    line.offset,
                    line.timestamp,
                    parser.parse(line.value, line.key, logic.rules.max_record_bytes),
                )
            except InvalidRecordError as error:
                logic.refuse(line.offset, error.reason, error.detail)
            for point in self._points[p].points:
                online = self._online.setdefault(p, OnlineOracle())
                asked = opened and opened.unscored(p, point, cast(OnlineModels, online), publish=True)
                (open_score,) = scorer.score([asked]) if asked else (None,)
                if open_score is not None:
                    self.put(self.opened, "scores.open", p, point.session_id.encode(), open_score)
            self._points[p].clear()
            for closed in logic.closed:
                online = self._online.setdefault(p, OnlineOracle())
                (score,) = scorer.score([UnscoredWindow(p, closed, cast(OnlineModels, online))])
                self.put(self.scores, "scores", p, closed.session_id.encode(), score)
            for refused in logic.refused:
                letter = DeadLetter(
                    reason=refused.reason,
                    detail=refused.detail,
                    topic="clicks",
                    partition=p,
                    offset=line.offset,
                    key=None if line.key is None else base64.b64encode(line.key[:256]).decode(),
                    value=None if line.value is None else base64.b64encode(line.value[:16_384]).decode(),
                    size=len(line.value or b""),
                )
                self.put(self.letters, "clicks.dead-letter", 0, line.key, letter.model_dump_json().encode())
            logic.closed.clear()
            logic.refused.clear()

    def lose_lessons(self) -> None:
        """What the online models learned is gone, as after a loss of all of Redis."""
        self._online.clear()

    def under(self, **settings: Any) -> None:
        """Go on with other settings, as consumers do after a drain."""
        newest = {p: logic.newest for p, logic in self._logic.items()}
        self.settings = self.settings.model_copy(update=settings)
        self._logic = {p: Partition(rules_of(self.settings), newest=n) for p, n in newest.items()}
        self._points = {p: OpenPoints(logic) for p, logic in self._logic.items()}

    def put(
        self, lines: list[Line], topic: str, partition: int, key: bytes | None, value: bytes | None
    ) -> None:
        """Append to what was published."""
        offset = sum(line.partition == partition for line in lines)
        lines.append(Line(topic, partition, offset, 0, key, value))

    def edit(self, lines: list[Line], at: int, change: Callable[[dict[str, Any]], None]) -> None:
        """Change what was published in `lines[at]`."""
        content = orjson.loads(lines[at].value or b"")
        change(content)
        lines[at].value = orjson.dumps(content)

    def contents(self, lines: Iterable[Line]) -> list[dict[str, Any]]:
        """What was published, as objects."""
        return [orjson.loads(line.value or b"") for line in lines]

    def audit(
        self,
        *,
        begin: int = 0,
        committed: int | None = 1 << 40,
        bundles: Mapping[str, Predictor] | None = None,
        ledger: Iterable[LedgerLine] | None = None,
        baseline: Sequence[Line] | None = None,
        scores_from: int = 0,
        letters_from: int = 0,
        opened_from: int = 0,
        spill: Spill | None = None,
        independent: bool = True,
    ) -> AuditReport:
        """The audit; records before `begin`, `scores_from`, `letters_from` are no longer in their topics."""
        known = {"oracle": Oracle()} if bundles is None else bundles
        partitions = {line.partition for line in self.clicks}
        logs = AuditedLogs(
            clicks=lambda: [line for line in self.clicks if line.offset >= begin],
            scores=lambda: self.scores[scores_from:],
            letters=lambda: self.letters[letters_from:],
            open_scores=lambda: self.opened[opened_from:],
            topics=TopicsAtStart(
                {p: CommittedRange(begin, committed) for p in partitions},
                scores_cut=scores_from > 0,
                letters_cut=letters_from > 0,
            ),
            baseline=None if baseline is None else ("baseline", lambda: baseline),
        )
        return evaluate_run(
            self.settings,
            logs,
            lambda name: known.get(name, f"bundle {name} is not here"),
            ledger,
            spill,
            independent,
        )


class FollowedLog:
    """The audit of a log in rounds, each of which sees a part of it."""

    def __init__(
        self,
        log: ScoredLog,
        begin: int = 0,
        remembered: int = REMEMBERED,
        bundles: Sequence[str] = ("oracle",),
    ) -> None:
        self.log = log
        self.spill = Spill()
        partitions = {line.partition for line in log.clicks}
        self._rounds = AuditRounds(
            log.settings,
            TopicsAtStart({p: CommittedRange(begin) for p in partitions}),
            self.spill,
            lambda name: Oracle() if name in bundles else f"bundle {name} is not here",
            remembered=remembered,
            independent=True,
        )
        self._clicks = dict.fromkeys(partitions, begin)
        self._scores = self._letters = 0

    def round(
        self, committed: int, scores: int | None = None, letters: int | None = None, end: int | None = None
    ) -> tuple[Finding, ...]:
        """What a round finds, when so many scores and letters are there and every partition of the clicks
        ends at `end`; None: all of them."""
        log, rounds = self.log, self._rounds
        for line in log.scores[self._scores : scores]:
            rounds.published.add_score(line)
        for line in log.letters[self._letters : letters]:
            rounds.published.add_dead_letter(line)
        self._scores = len(log.scores) if scores is None else scores
        self._letters = len(log.letters) if letters is None else letters
        rounds.comparison.begin(dict.fromkeys(self._clicks, committed))
        for line in log.clicks:
            if self._clicks[line.partition] <= line.offset < committed:
                self._clicks[line.partition] = line.offset + 1
                rounds.comparison.take(line)
        ends = {p: sum(line.partition == p for line in log.clicks) for p in self._clicks}
        rounds.settle(self._lookup, ends if end is None else dict.fromkeys(ends, end))
        return rounds.tally.take_findings()

    def end(self) -> dict[str, Any]:
        """All counts, once the whole log was read and no more comes."""
        self.round(1 << 40)
        self._rounds.settle(self._lookup)
        return self.counts()

    def counts(self) -> dict[str, Any]:
        """All counts so far."""
        return {**self._rounds.tally.counts(), "open": self._rounds.comparison.open_sessions}

    def _lookup(self, topic: str, _places: Iterable[Place]) -> list[Line]:
        return self.log.scores if topic == "scores" else self.log.letters
