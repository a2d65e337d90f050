"""Answers about open sessions, from Redis and the bundles alone; Kafka is asked for the topic at times."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from clickstream.consumer.state_format import relied_on
from clickstream.consumer.state_reader import ReadState, StateReader
from clickstream.infra.errors import ClickstreamError, RefusedError, UnavailableError
from clickstream.infra.kafka import Admin, Topic, partition_for
from clickstream.infra.logs import logger
from clickstream.infra.settings import Settings
from clickstream.lookup.models import CurrentModels
from clickstream.models.case import Case
from clickstream.monitoring.health import without_address
from clickstream.records.score import REBUILT_PARTLY
from clickstream.windows.doubt import Doubt
from clickstream.windows.fingerprint import rules_of, rules_text
from clickstream.windows.so_far import SessionSoFar, so_far

log = logger("lookup")

CONSIDERED = 1_000
"""Open sessions that a list asks the models about: those that close last."""

PATIENCE_MS = 1_500
"""A visitor waits for the answer."""

_AT_ONCE = 20
"""Sessions that a list asks about between two other requests: some ms of work."""

_ASK_FOR_TOPIC_EVERY_S = 60.0

Answerer = Literal["batch", "online"]


class ListedSessions(NamedTuple):
    """A page of open sessions; how many are open, and how many of those the models were asked about."""

    sessions: list[dict[str, Any]]
    open_sessions: int
    considered: int


class Lookup:
    """Looks into the state of one consumer group. For one thread.

    Raises:
        UnavailableError: a server is away.
        RefusedError: the clicks topic does not exist.
        BundleError, ConfigurationError: there are no models, or a setting is wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(update={"patience": min(PATIENCE_MS, settings.patience)})
        self._rules = rules_of(settings)
        self._description = rules_text(settings)
        self._topic = self._latest_topic = _describe(settings)
        self._asked_at = time.monotonic()
        self._asking = threading.Lock()
        self._reader = StateReader(self._settings, self._topic.id, self._rules.shop)
        self._models = CurrentModels(settings)
        self._logged = ""

    def session(self, session_id: str, reasons: int = 0) -> dict[str, Any] | None:
        """What is open of a session; None where nothing is. The content of an OpenSessionView.

        Args:
            reasons: how many features to name that moved each prediction most.

        Raises:
            UnavailableError: Redis does not answer.
            RefusedError: its state is damaged, or was made by other rules than those of our settings.
        """
        topic = self._current_topic()
        partition = partition_for(session_id.encode(), topic.partitions)
        found = self._read(partition, (session_id,))
        if not found.sessions:
            # Producers may place by another hash.
            others = [one for one in range(topic.partitions) if one != partition]
            holders = self._reader.holders(session_id, others) if others else []
            if not holders:
                return None
            partition = holders[0]
            found = self._read(partition, (session_id,))
        return next(self._views(partition, found, reasons), None)

    def sessions(
        self, by: Answerer, at_least: float, at_most: float, limit: int
    ) -> Iterator[ListedSessions | None]:
        """Open sessions whose chance of conversion by one scorer lies within bounds, the highest first.

        It yields None after each piece of the work, so that others need not wait for all of it, and the page
        at the end. Each piece is of one moment, all of them together are not.

        Raises:
            UnavailableError, RefusedError: as of `session`.
        """
        partitions = range(self._current_topic().partitions)
        latest = self._reader.latest(partitions, CONSIDERED)
        views: list[dict[str, Any]] = []
        count = 0
        for partition in partitions:
            ids = latest.get(partition, [])
            opened = 0
            for first in range(0, len(ids) or 1, _AT_ONCE):
                found = self._read(partition, ids[first : first + _AT_ONCE])
                opened = 0 if found.meta is None else found.meta.open_sessions
                views += self._views(partition, found)
                yield None
            count += opened

        def chance(view: dict[str, Any]) -> float:
            return float(view["predictions"][by]["conversion"])

        answered = [view for view in views if view["predictions"] and at_least <= chance(view) <= at_most]
        # The newest first among equals.
        answered.sort(key=lambda view: (-chance(view), -view["last_click_at"]))
        yield ListedSessions(answered[:limit], count, len(views))

    def predict(self, partition: int, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """What the models that would score a session of a partition now say of each case, by scorer.

        Raises:
            UnavailableError, RefusedError: as of `session`.
        """
        self._models.read(self._reader, partition, (), needed=True)
        return self._models.predict(partition, cases)

    def problem(self) -> str:
        """Why no answer can be given now; empty where one can.

        The log has the whole.
        """
        what = problem = ""
        try:
            self._reader.ping()
        except ClickstreamError as error:
            what = error.what
            problem = without_address("redis", error)
        if what != self._logged:
            log.warning("not ready", error=what) if what else log.info("ready again")
            self._logged = what
        return problem

    def close(self) -> None:
        """Drop the connections."""
        self._reader.close()

    def _read(self, partition: int, session_ids: Sequence[str]) -> ReadState:
        return self._models.read(self._reader, partition, session_ids)

    def _views(self, partition: int, found: ReadState, reasons: int = 0) -> Iterator[dict[str, Any]]:
        if not found.sessions or found.meta is None:
            return
        meta = found.meta
        if meta.settings != self._description:
            raise RefusedError(
                f"the sessions of partition {partition} are open under other rules: {meta.settings}",
                f"Start `serve` with the settings of the consumers; it has {self._description}.",
            )
        shop = self._rules.shop
        with relied_on(partition):
            visits = {
                session_id: so_far(session_id, state, self._rules)
                for session_id, state in found.sessions.items()
            }
            whole = {session_id: shop.whole(visit.session) for session_id, visit in visits.items()}
            cases = [Case(shop.known(visit.session), whole[name]) for name, visit in visits.items()]
        answers = self._models.predict(partition, cases)
        models = {"bundle": self._models.bundle_id, "lessons": self._models.lessons(partition)}
        doubt = Doubt(self._rules.gap + self._rules.allowed_lateness, meta.partial_before, meta.doubtful)
        for (session_id, visit), case, answer in zip(visits.items(), cases, answers, strict=True):
            partly = doubt.covers(session_id, visit.session.opened_at)
            given = self._models.reasons(partition, case, reasons) if reasons and not partly else None
            yield {
                **_facts(session_id, visit),
                "features": shop.shown(whole[session_id]),
                "predictions": None if partly else answer,
                "reasons": given and {name: one and one.model_dump() for name, one in given.items()},
                "models": models,
                "shop": shop.as_dict(),
                "partition": partition,
                "offset": meta.applied or 0,
                "error": REBUILT_PARTLY if partly else None,
            }

    def _current_topic(self) -> Topic:
        """The topic; asked for again, beside the requests, as it may have been created anew."""
        if self._latest_topic != self._topic:
            self._topic = self._latest_topic
            log.info("the topic is another", topic=self._topic.name, partitions=self._topic.partitions)
            self._reader.close()
            self._reader = StateReader(self._settings, self._topic.id, self._rules.shop)
            self._models.forget()
        if time.monotonic() - self._asked_at >= _ASK_FOR_TOPIC_EVERY_S and self._asking.acquire(
            blocking=False
        ):
            self._asked_at = time.monotonic()
            threading.Thread(target=self._ask_for_topic, name="topic", daemon=True).start()
        return self._topic

    def _ask_for_topic(self) -> None:
        try:
            self._latest_topic = _describe(self._settings)
        except ClickstreamError as error:
            # Kafka is not on the way of a request; what was known serves on.
            log.warning("the topic was not asked for", error=error.what)
        finally:
            self._asking.release()


def _facts(session_id: str, visit: SessionSoFar) -> dict[str, Any]:
    session = visit.session
    return {
        "session_id": session_id,
        "opened_at": session.opened_at,
        "last_click_at": session.last.event_time,
        "closes_at": visit.closes_at,
        "clicks": session.clicks,
        "waiting": visit.waiting,
        "earlier": visit.earlier,
        "converted_at": None if session.goal is None else session.goal.reached_at,
    }


def _describe(settings: Settings) -> Topic:
    admin = Admin(settings)
    try:
        topic = admin.describe_topic(settings.clicks_topic)
    finally:
        admin.close()
    if topic is None:
        raise UnavailableError(
            f"topic {settings.clicks_topic} does not exist",
            "Start a consumer first: it creates the topics, and what is looked up is its state.",
        )
    return topic
