"""Published: what lies on the scores and dead-letter topics, kept in a few hundred bytes a record."""

from __future__ import annotations

from itertools import chain
from struct import Struct as Packing
from typing import Any

import orjson
from msgspec import Struct
from pydantic import ValidationError

from clickstream.app.audit.expected import NOT_FACTS, digest_of, rule_of
from clickstream.app.audit.report import Difference, Finding, Place, Tally
from clickstream.app.audit.sessions import SessionSums
from clickstream.consumer.score import REBUILT_PARTLY, DeadLetter, Score
from clickstream.infra.kafka import Record

SCORERS = ("batch", "reference")
"""The scorers whose answers are a function of features and bundle alone."""

_answers = Packing("<ddHHddHH")


class Found(Struct, gc=False):
    """A score that was read. `facts` is a digest; `bundle` is its place in `Published.bundles`."""

    facts: bytes
    answers: bytes
    bundle: int
    place: int
    offset: int
    source: int
    first: int
    closing: int


class Partial(Struct, gc=False):
    """A score that says of itself that clicks are missing. `covers`, `repeats`: windows that it touches and
    that have no score, or have one."""

    score_id: str
    opened_at: int
    last_click_at: int
    place: int
    offset: int
    source: int
    first: int
    closing: int
    covers: bool = False
    repeats: bool = False


class FoundLetter(Struct, gc=False):
    """A dead letter that was read."""

    reason: str
    content: bytes
    place: int
    offset: int


class Published:
    """Everything published about one clicks topic under one fingerprint of settings.

    Attributes:
        scores: by score id. More than one only where a flush closed a window early and a copy of its first
            click came afterwards (T7).
        partial: by session id.
        letters: by partition and offset of the record that they are about.
        published_to: clicks partition -> the offset up to which a score or a dead letter shows that the
            log was processed.
        kept_from: clicks partition -> the first closing offset that was found.
        letters_kept_from: the same of dead letters.
        other: clicks partition -> first and last closing offset under other settings.
    """

    def __init__(
        self, clicks_topic: str, settings: str, aligned: bool, tally: Tally, sessions: SessionSums
    ) -> None:
        self.bundles: list[str] = []
        self.scores: dict[str, tuple[Found, ...]] = {}
        self.partial: dict[str, list[Partial]] = {}
        self.letters: dict[tuple[int, int], FoundLetter] = {}
        self.published_to: dict[int, int] = {}
        self.kept_from: dict[int, int] = {}
        self.letters_kept_from: dict[int, int] = {}
        self.other: dict[int, tuple[int, int]] = {}
        self.cluster_names: list[str] = []
        self._topic = clicks_topic
        self._settings = settings
        self._aligned = aligned
        self._tally = tally
        self._sessions = sessions
        self._bundle_numbers: dict[str, int] = {}
        self._name_numbers: dict[str, int] = {}

    def add_score(self, record: Record) -> dict[str, Any] | None:
        """Take a record of the scores topic; what it says, None where it is not to be compared."""
        place = Place(record.topic, record.partition, record.offset)
        score = read_score(record)
        if isinstance(score, str):
            self._tally.wrong.add(str(place))
            self._tally.tell(Finding("wrong", "score", str(place), None, place, f"not a score: {score}"))
            return None
        score_id, source = score["score_id"], score["source"]
        partition, closing = source["partition"], source["closing_offset"]
        if source["topic"] != self._topic:
            self._tally.other_topics += 1
            return None
        self.published_to[partition] = max(self.published_to.get(partition, 0), closing + 1)
        if score["settings"] != self._settings:
            self._tally.other_settings += 1
            first, last = self.other.get(partition, (closing, closing))
            self.other[partition] = (min(first, closing), max(last, closing))
            return None
        self.kept_from[partition] = min(self.kept_from.get(partition, closing), closing)
        self._sessions.add(score)
        self._tally.bundles[score["models"]["bundle"]] += 1
        problems = self._problems(record, score)
        if problems:
            self._tally.wrong.add(score_id)
            self._tally.tell(
                Finding("wrong", "score", score_id, self._cause(score), place, differences=problems)
            )
        error = score["error"]
        if error is not None:
            self._tally.errors[":".join(error.split(":")[:2])] += 1
        if error == REBUILT_PARTLY:
            self._keep_partial(score, place)
            return score
        if score_id != f"{score['session_id']}/{score['opened_at']}":
            return score
        found = Found(
            digest_of({name: value for name, value in score.items() if name not in NOT_FACTS}),
            b"" if error is not None or problems else self.pack(score["predictions"]),
            self._number(score["models"]["bundle"], self._bundle_numbers, self.bundles),
            record.partition,
            record.offset,
            partition,
            source["first_offset"],
            closing,
        )
        there = self.scores.get(score_id, ())
        if any(_same_window(found, other) for other in there):
            self._repeated(score_id, self._cause(score), place)
        else:
            self.scores[score_id] = (*there, found)
        return score

    def take(self, score_id: str, facts: bytes, closing: int) -> Found | None:
        """The score of this name that fits best to these facts and this closing offset; it is gone then."""
        there = self.scores.pop(score_id, ())
        if not there:
            return None
        best = min(there, key=lambda found: (found.facts != facts, found.closing != closing))
        if len(there) > 1:
            self.scores[score_id] = tuple(found for found in there if found is not best)
        return best

    def other_until(self) -> dict[int, int]:
        """By clicks partition, the last closing offset of a time before ours, when other settings ruled.

        Where such scores lie among ours, another run went on beside this one and says nothing about it.
        """
        beside = set()
        if self.other:
            for found in chain.from_iterable(self.scores.values()):
                first, last = self.other.get(found.source, (0, 0))
                if first < found.closing < last:
                    beside.add(found.source)
        if beside:
            self._tally.notes.append(
                "scores under other settings lie among ours: taken for another run beside this one"
            )
        return {partition: last for partition, (_, last) in self.other.items() if partition not in beside}

    def concerns(self, score: dict[str, Any]) -> bool:
        """Whether a score is of our clicks topic, under our settings."""
        return bool(score["source"]["topic"] == self._topic and score["settings"] == self._settings)

    def add_dead_letter(self, record: Record) -> None:
        """Take a record of the dead-letter topic."""
        place = Place(record.topic, record.partition, record.offset)
        try:
            letter = DeadLetter.model_validate_json(record.value or b"", strict=True)
        except ValidationError as error:
            self._tally.letters("unreadable").wrong += 1
            self._tally.tell(Finding("wrong", "dead letter", "unreadable", None, place, _first(error)))
            return
        if letter.topic != self._topic:
            self._tally.other_topics += 1
            return
        where = (letter.partition, letter.offset)
        counts = self._tally.letters(letter.reason)
        counts.found += 1
        self.published_to[letter.partition] = max(
            self.published_to.get(letter.partition, 0), letter.offset + 1
        )
        kept = self.letters_kept_from.get(letter.partition, letter.offset)
        self.letters_kept_from[letter.partition] = min(kept, letter.offset)
        if where in self.letters:
            counts.duplicate += 1
            cause = Place(self._topic, *where)
            self._tally.tell(Finding("duplicate", "dead letter", letter.reason, cause, place))
            return
        self._sessions.add_dead_letter(letter)
        self.letters[where] = FoundLetter(
            letter.reason, digest_of(letter.model_dump()), record.partition, record.offset
        )

    def pack(self, predictions: dict[str, Any]) -> bytes:
        """What the scorers of SCORERS say, in 40 bytes; b"" when one of them says nothing."""
        values: list[Any] = []
        for name in SCORERS:
            answer = predictions[name]
            if answer is None:
                return b""
            values += (
                answer["conversion"],
                answer["revenue"],
                answer["cluster"],
                self._number(answer["cluster_name"], self._name_numbers, self.cluster_names),
            )
        return _answers.pack(*values)

    def _problems(self, record: Record, score: dict[str, Any]) -> tuple[Difference, ...]:
        """What can be told to be wrong without the log."""
        expected_key = score["session_id"].encode()
        partition = score["source"]["partition"]
        found = []
        score_id = f"{score['session_id']}/{score['opened_at']}"
        if score["score_id"] != score_id:
            found.append(Difference("score_id", score_id, score["score_id"], rule_of("score_id")))
        if record.key != expected_key:
            found.append(Difference("key", expected_key, record.key, "section 3: the key is the session id"))
        if self._aligned and record.partition != partition:
            rule = "section 3: scores has the partitions of clicks"
            found.append(Difference("partition", partition, record.partition, rule))
        for name, answer in score["predictions"].items():
            path = f"predictions.{name}"
            if score["error"] is None and answer is None:
                found.append(Difference(path, "an answer, as there is no error", None, rule_of(path)))
            elif score["error"] is not None and answer is not None:
                found.append(Difference(path, "null, as there is an error", answer, rule_of(path)))
            elif answer is not None and not (answer["revenue"] >= 0 and answer["cluster"] < 65_536):
                found.append(Difference(path, "revenue >= 0, cluster < 65536", answer, rule_of(path)))
        return tuple(found)

    def _keep_partial(self, score: dict[str, Any], place: Place) -> None:
        source = score["source"]
        partial = Partial(
            score["score_id"],
            score["opened_at"],
            score["last_click_at"],
            place.partition,
            place.offset,
            source["partition"],
            source["first_offset"],
            source["closing_offset"],
        )
        there = self.partial.setdefault(score["session_id"], [])
        if any(_same_window(partial, other) for other in there):
            self._repeated(score["score_id"], self._cause(score), place)
        else:
            there.append(partial)

    def _repeated(self, score_id: str, cause: Place, place: Place) -> None:
        self._tally.duplicate += 1
        self._tally.tell(Finding("duplicate", "score", score_id, cause, place))

    def _cause(self, score: dict[str, Any]) -> Place:
        return Place(self._topic, score["source"]["partition"], score["source"]["closing_offset"])

    def _number(self, name: str, numbers: dict[str, int], names: list[str]) -> int:
        if name not in numbers:
            numbers[name] = len(names)
            names.append(name)
        return numbers[name]


def _same_window(one: Found | Partial, other: Found | Partial) -> bool:
    return (one.source, one.first, one.closing) == (other.source, other.first, other.closing)


def read_score(record: Record) -> dict[str, Any] | str:
    """The score in a record, or why it is none."""
    try:
        Score.model_validate_json(record.value or b"", strict=True)
    except ValidationError as error:
        return _first(error)
    score: dict[str, Any] = orjson.loads(record.value or b"")
    return score


def unpack(answers: bytes) -> tuple[Any, ...]:
    """Conversion, revenue, cluster and the number of its name, of each of SCORERS."""
    return _answers.unpack(answers)


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'record'}: {problem['msg']}"
