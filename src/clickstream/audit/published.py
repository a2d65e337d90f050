"""What lies on the scores and dead-letter topics. It is read once; what is needed of it is spilled."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from struct import Struct as Packing
from typing import Any

import orjson
from pydantic import ValidationError

from clickstream.audit.expected import digest_of, published_facts, rule_of
from clickstream.audit.report import Difference, Place, Tally
from clickstream.audit.sessions import SessionSums
from clickstream.audit.spill import PartialScore, Spill, SpilledLetter, SpilledOpenScore, SpilledScore
from clickstream.consumer.open_scores import OPEN_SCORERS
from clickstream.features.shop import UCI553
from clickstream.infra.kafka import Record
from clickstream.infra.settings import Settings
from clickstream.models.case import DECIMALS, ScorerOutput
from clickstream.models.clusters import NAMES
from clickstream.models.scorers import HONEST, scorers_of
from clickstream.records.score import COMPARISONS, REBUILT_PARTLY, DeadLetter, OpenScore, Score, digest_line
from clickstream.records.scorers import LEARNING
from clickstream.windows.fingerprint import fingerprint, rules_of

_answer = Packing("<ddHH")

_MOST_NAMES = 1 << 16
"""Of clusters; a bundle has a handful."""

_KNOWN_ERROR = re.compile(rf"{REBUILT_PARTLY}|prediction failed: \w+: .*", re.DOTALL)

_CLUSTERS = frozenset(enumerate(NAMES))

_TWIN = "one score_id from two partitions: producers that disagree have torn the session apart"

_LARGEST = 1 << 63
"""Beyond any offset and any time that Kafka knows."""


class PublishedRecords:
    """Everything published about one clicks topic under one fingerprint of settings.

    Attributes:
        published_to: clicks partition -> the offset up to which a score or a dead letter shows that the
            log was processed.
        kept_from: clicks partition -> the first closing offset that was found.
        letters_kept_from: the same of dead letters.
        open_from: clicks partition -> the first click that has an open score.
        bundles: a name's place in the list stands for it in the spill.
        rules, fingerprint, shop: those of the settings.
        scorers: those of the shop.
    """

    def __init__(
        self,
        settings: Settings,
        aligned: bool,
        spill: Spill,
        tally: Tally,
        sessions: SessionSums,
        digests: bool = False,
        open_aligned: bool = True,
    ) -> None:
        self.bundles: list[str] = []
        self.published_to: dict[int, int] = {}
        self.kept_from: dict[int, int] = {}
        self.letters_kept_from: dict[int, int] = {}
        self.open_from: dict[int, int] = {}
        self.rules = rules_of(settings)
        self.fingerprint = fingerprint(settings)
        self.shop = self.rules.shop
        self.scorers = scorers_of(self.shop)
        self._cluster_names = list(NAMES)
        self._topic = settings.clicks_topic
        self._aligned = aligned
        self._open_aligned = open_aligned
        self._spill = spill
        self._tally = tally
        self._sessions = sessions
        self._digests = digests
        self._bundle_numbers: dict[str, int] = {}
        # Bundle -> what it answers where there is no evidence, by the first score that says so.
        self._base_rates: dict[str, tuple[float, float]] = {}
        # Clicks partition -> first and last closing offset under other settings.
        self._other: dict[int, tuple[int, int]] = {}
        self._grown: set[int] = set()
        self._beside: set[int] = set()

    def add_score(self, record: Record, shows_progress: bool = True) -> None:
        """Take a record of the scores topic.

        `shows_progress` False: not everything that was published with it may be known yet.
        """
        place = Place(record.topic, record.partition, record.offset)
        score = checked_score(record)
        if isinstance(score, str):
            self._tally.report_score("wrong", str(place), None, place, f"not a score: {score}")
            return
        source = score["source"]
        partition, closing = source["partition"], source["closing_offset"]
        if source["topic"] != self._topic:
            self._tally.other_topics += 1
            return
        if shows_progress:
            self.published_to[partition] = max(self.published_to.get(partition, 0), closing + 1)
        if score["settings"] != self.fingerprint:
            self._tally.other_settings += 1
            first, last = self._other.get(partition, (closing, closing))
            self._other[partition] = (min(first, closing), max(last, closing))
            self._grown.add(partition)
            return
        first, last = self._other.get(partition, (0, 0))
        if first < closing < last and score["error"] != REBUILT_PARTLY:
            self._take_as_beside(partition)
        self.kept_from[partition] = min(self.kept_from.get(partition, closing), closing)
        self._sessions.add(score)
        self._tally.bundles[score["models"]["bundle"]] += 1
        if self._digests:
            for comparison in COMPARISONS:
                self._spill.add_line(comparison, digest_line(score, comparison))
        self._keep(record, score, place)

    def _keep(self, record: Record, score: dict[str, Any], place: Place) -> None:
        score_id, source, error = score["score_id"], score["source"], score["error"]
        cause = Place(self._topic, source["partition"], source["closing_offset"])
        problems = self._problems(record, score)
        if problems:
            self._tally.report_score("wrong", score_id, cause, place, differences=problems)
        if error is not None:
            self._tally.errors[":".join(error.split(":")[:2])] += 1
        session_id, opened_at = score["session_id"], score["opened_at"]
        clicks = source["partition"], source["first_offset"], source["closing_offset"]
        here = record.partition, record.offset
        detail = ""
        if error == REBUILT_PARTLY:
            until, content = score["last_click_at"], b"" if problems else record.value or b""
            is_new = self._spill.add_partial(
                PartialScore(session_id, opened_at, *clicks, until, score_id, content, *here)
            )
        elif score_id != f"{session_id}/{opened_at}":
            return
        else:
            facts = digest_of(published_facts(score))
            answers = b"" if error is not None or problems else self._packed(score)
            models, failed = score["models"], None if problems else error
            bundle, lessons = self._number(models["bundle"]), models["lessons"]
            added = self._spill.add_score(
                SpilledScore(opened_at, session_id, *clicks, facts, answers, bundle, lessons, failed, *here)
            )
            is_new = added == "new"
            detail = _TWIN if added == "twin" else detail
        if not is_new:
            self._tally.report_score("duplicate", score_id, cause, place, detail)

    def other_until(self) -> Mapping[int, int]:
        """By clicks partition, the last closing offset of a time before ours, when other settings ruled.

        Where such scores lie among ours, another run went on beside this one and says nothing about it.
        """
        for partition in self._grown - self._beside:
            if self._spill.has_closing_between(partition, *self._other[partition]):
                self._take_as_beside(partition)
        self._grown.clear()
        return {
            partition: last for partition, (_, last) in self._other.items() if partition not in self._beside
        }

    def _take_as_beside(self, partition: int) -> None:
        if not self._beside:
            self._tally.notes.append(
                "scores under other settings lie among ours: taken for another run beside this one"
            )
        self._beside.add(partition)

    def add_dead_letter(self, record: Record) -> None:
        """Take a record of the dead-letter topic."""
        place = Place(record.topic, record.partition, record.offset)
        letter = checked_letter(record)
        if isinstance(letter, str):
            self._tally.report_letter("wrong", "unreadable", None, place, letter)
            return
        if letter.topic != self._topic:
            self._tally.other_topics += 1
            return
        self._tally.letters(letter.reason).found += 1
        partition, about = letter.partition, letter.offset
        self.published_to[partition] = max(self.published_to.get(partition, 0), about + 1)
        self.letters_kept_from[partition] = min(self.letters_kept_from.get(partition, about), about)
        content = digest_of(letter.model_dump())
        if self._spill.letters.add(
            SpilledLetter(partition, about, letter.reason, content, record.partition, record.offset)
        ):
            self._sessions.add_dead_letter(letter)
            return
        self._tally.report_letter("duplicate", letter.reason, Place(self._topic, partition, about), place)

    def add_open_score(self, record: Record) -> None:
        """Take a record of the topic of open scores."""
        place = Place(record.topic, record.partition, record.offset)
        score = checked_open_score(record)
        if isinstance(score, str):
            self._tally.report_open_score("wrong", str(place), None, place, f"no open score: {score}")
            return
        source = score["source"]
        partition, about = source["partition"], source["offset"]
        if source["topic"] != self._topic:
            self._tally.other_topics += 1
            return
        if score["settings"] != self.fingerprint:
            self._tally.other_settings += 1
            return
        name, error = score["open_score_id"], score["error"]
        cause = Place(self._topic, partition, about)
        self._tally.opened.found += 1
        self.open_from[partition] = min(self.open_from.get(partition, about), about)
        problems = self._open_problems(record, score)
        if problems:
            self._tally.report_open_score("wrong", name, cause, place, differences=problems)
        facts = digest_of(published_facts(score))
        predictions, models = score["predictions"], score["models"]
        answers = b"" if error is not None or problems else self.pack(predictions, OPEN_SCORERS)
        found = SpilledOpenScore(
            partition,
            about,
            score["session_id"],
            score["opened_at"],
            facts,
            answers,
            self._number(models["bundle"]),
            models["lessons"],
            error,
            " ".join(score["conditions"]),
            record.partition,
            record.offset,
        )
        if not self._spill.open_scores.add(found):
            self._tally.report_open_score("duplicate", name, cause, place)

    def _open_problems(self, record: Record, score: dict[str, Any]) -> tuple[Difference, ...]:
        """What is wrong with an open score, as far as that shows without the log."""
        place, error = record.partition, score["error"]
        home = score["source"]["partition"] if self._open_aligned else place
        given = [name for name in OPEN_SCORERS if score["predictions"][name] is not None]
        said = given if error is None or _KNOWN_ERROR.fullmatch(error) else error
        right = (
            ("key", score["session_id"].encode(), record.key, "the key is the session id"),
            ("partition", home, place, "scores.open has the partitions of clicks"),
            ("predictions", [] if error else [*OPEN_SCORERS], said, rule_of("error")),
        )
        return tuple(Difference(*one) for one in right if one[1] != one[2])

    def _packed(self, score: dict[str, Any]) -> bytes:
        """All answers in a score: at its last decision point, and at the one that is drawn."""
        drawn = score.get("drawn")
        moment = b"" if drawn is None else self.pack(drawn["predictions"], OPEN_SCORERS)
        return self.pack(score["predictions"], self.scorers) + moment

    def answers_in(self, found: SpilledScore) -> list[dict[str, ScorerOutput]]:
        """Scorer -> answer, for each of the cases that the models were asked about; none with an error."""
        if not found.answers:
            return []
        size = _answer.size * len(self.scorers)
        closing, drawn = found.answers[:size], found.answers[size:]
        moment = [self.unpack(drawn, OPEN_SCORERS)] if drawn else []
        return [self.unpack(closing, self.scorers), *moment]

    def pack(self, predictions: dict[str, Any], scorers: Sequence[str]) -> bytes:
        """The answers of `scorers` in 20 bytes each."""
        packed = b""
        for name in scorers:
            answer = predictions[name]
            revenue = math.nan if answer["revenue"] is None else answer["revenue"]
            number = self._cluster_number(answer["cluster_name"])
            packed += _answer.pack(answer["conversion"], revenue, answer["cluster"], number)
        return packed

    def unpack(self, answers: bytes, scorers: Sequence[str]) -> dict[str, ScorerOutput]:
        """Scorer -> answer, from what `pack` gave."""
        return {
            name: ScorerOutput(
                conversion, None if math.isnan(revenue) else revenue, cluster, self._cluster_names[number]
            )
            for name, (conversion, revenue, cluster, number) in zip(
                scorers, _answer.iter_unpack(answers), strict=True
            )
        }

    def _problems(self, record: Record, score: dict[str, Any]) -> tuple[Difference, ...]:
        """What is wrong with a score, as far as that shows without the log."""
        session_id, place = score["session_id"], record.partition
        window = f"{session_id}/{score['opened_at']}"
        home = score["source"]["partition"] if self._aligned else place
        sets = score["models"]["feature_sets"]
        right = (
            ("score_id", window, score["score_id"], rule_of("score_id")),
            ("key", session_id.encode(), record.key, "the key is the session id"),
            ("partition", home, place, "scores has the partitions of clicks"),
            ("models.feature_sets", self.shop.feature_sets, sets, rule_of("models")),
            ("drawn", _presence(self.shop.is_event_goal), _presence("drawn" in score), rule_of("drawn")),
        )
        return (*(Difference(*one) for one in right if one[1] != one[2]), *self._wrong_answers(score))

    def _wrong_answers(self, score: dict[str, Any]) -> Sequence[Difference]:
        """What is wrong with the predictions whatever the bundle is."""
        error = score["error"]
        if error is not None and not _KNOWN_ERROR.fullmatch(error):
            rule = "predictions are null only where the state was rebuilt or a model failed"
            return (Difference("error", f"{REBUILT_PARTLY}, or prediction failed", error, rule),)
        wrong = self._wrong_at("predictions", score["predictions"], self.scorers, error)
        if not wrong and (drawn := score.get("drawn")) is not None:
            wrong = self._wrong_at("drawn.predictions", drawn["predictions"], OPEN_SCORERS, error)
        return wrong or (self._wrong_base_rates(score) if error is None else ())

    def _wrong_at(
        self, path: str, predictions: dict[str, Any], scorers: Sequence[str], error: str | None
    ) -> Sequence[Difference]:
        """What is wrong with the predictions of one moment, which stand at `path`."""

        def differ(name: str, expected: object) -> Sequence[Difference]:
            at = f"{path}.{name}"
            return (Difference(at, expected, predictions[name], rule_of(at)),)

        if error is not None:
            given = [name for name, answer in predictions.items() if answer is not None]
            return differ(given[0], "null, as there is an error") if given else ()
        if absent := [name for name in predictions if name not in scorers and predictions[name] is not None]:
            return differ(absent[0], f"null, as shop {self.shop.definition.name} has no such scorer")
        for name in scorers:
            answer = predictions[name]
            if answer is None:
                return differ(name, "an answer, as there is no error")
            if (answer["revenue"] is None) is not (self.shop.definition.goal.value is None):
                return differ(name, "a revenue where the shop says what one is, and only there")
            if answer["revenue"] is not None and answer["revenue"] < 0:
                return differ(name, "revenue >= 0")
            figures = [answer[part] for part in ("conversion", "revenue") if answer[part] is not None]
            if any(round(figure, DECIMALS) != figure for figure in figures):
                return differ(name, f"figures that are rounded to {DECIMALS} decimals")
            if not self._may_be_cluster(answer["cluster"], answer["cluster_name"]):
                return differ(name, f"a cluster of {', '.join(self._cluster_names)}, by its number")
        *others, last = (name for name in scorers if name != LEARNING)
        cluster = itemgetter("cluster", "cluster_name")
        for name in others:
            if cluster(predictions[name]) != cluster(predictions[last]):
                return differ(name, f"the cluster of {last}, {predictions[last]['cluster_name']}")
        return ()

    def _wrong_base_rates(self, score: dict[str, Any]) -> Sequence[Difference]:
        """What is wrong with predictions where there is no evidence."""
        if score["evidence"]:
            return ()
        predictions, bundle = score["predictions"], score["models"]["bundle"]
        for name in (name for name in self.scorers if name in HONEST):
            rates = (predictions[name]["conversion"], predictions[name]["revenue"])
            expected = self._base_rates.setdefault(bundle, rates)
            if rates != expected:
                path, words = f"predictions.{name}", f"the base rates of {bundle}, as there is no evidence"
                return (Difference(path, f"{words}: {expected}", predictions[name], rule_of(path)),)
        return ()

    def _may_be_cluster(self, number: int, name: str) -> bool:
        """Whether a bundle may have this cluster; the names of any shop's are what its bundles say."""
        if self.shop is UCI553:
            return (number, name) in _CLUSTERS
        if name not in self._cluster_names and len(self._cluster_names) < _MOST_NAMES:
            self._cluster_names.append(name)
        return number < _MOST_NAMES and name in self._cluster_names

    def _cluster_number(self, name: str) -> int:
        if name not in self._cluster_names and len(self._cluster_names) < _MOST_NAMES:
            self._cluster_names.append(name)
        return self._cluster_names.index(name) if name in self._cluster_names else 0

    def _number(self, bundle: str) -> int:
        number = self._bundle_numbers.setdefault(bundle, len(self.bundles))
        if number == len(self.bundles):
            self.bundles.append(bundle)
        return number


def _presence(is_there: bool) -> str:
    return "there" if is_there else "not there"


def checked_score(record: Record) -> dict[str, Any] | str:
    """The score in a record, or a text that says why it is none."""
    try:
        read = Score.model_validate_json(record.value or b"", strict=True)
    except ValidationError as error:
        return _first(error)
    source = read.source
    numbers = (source.partition, source.first_offset, source.last_offset, source.closing_offset)
    if too_large := _too_large(read.opened_at, read.last_click_at, *numbers):
        return too_large
    score: dict[str, Any] = orjson.loads(record.value or b"")
    return score


def checked_open_score(record: Record) -> dict[str, Any] | str:
    """The open score in a record, or a text that says why it is none."""
    try:
        read = OpenScore.model_validate_json(record.value or b"", strict=True)
    except ValidationError as error:
        return _first(error)
    if too_large := _too_large(read.opened_at, read.event_time, read.source.partition, read.source.offset):
        return too_large
    score: dict[str, Any] = orjson.loads(record.value or b"")
    return score


def checked_letter(record: Record) -> DeadLetter | str:
    """The dead letter in a record, or a text that says why it is none."""
    try:
        letter = DeadLetter.model_validate_json(record.value or b"", strict=True)
    except ValidationError as error:
        return _first(error)
    return _too_large(letter.partition, letter.offset) or letter


def _too_large(*numbers: int) -> str:
    return next((f"{n} has more than 64 bits" for n in numbers if not -_LARGEST <= n < _LARGEST), "")


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'record'}: {problem['msg']}"
