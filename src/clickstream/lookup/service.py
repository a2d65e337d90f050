"""Answers about open sessions, from Redis and the bundles alone; Kafka is asked for the topic at times."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from clickstream.consumer.state_reader import ReadState, StateReader
from clickstream.infra.errors import ClickstreamError, RefusedError, UnavailableError
from clickstream.infra.kafka import Admin, Topic, partition_for
from clickstream.infra.logs import logger
from clickstream.infra.settings import Settings
from clickstream.lookup.models import CurrentModels
from clickstream.models.case import Case
from clickstream.records.score import REBUILT_PARTLY
from clickstream.windows.doubt import Doubt
from clickstream.windows.fingerprint import rules_of, rules_text
from clickstream.windows.so_far import SessionSoFar, so_far

log = logger("lookup")

CONSIDERED = 1_000
"""Open sessions that a list asks the models about: those that close last."""

_PATIENCE_MS = 1_500
"""A visitor waits for the answer."""

_ASK_FOR_TOPIC_EVERY_S = 60.0

Answerer = Literal["batch", "online"]


class Lookup:
    """Looks into the state of one consumer group. May be used by several threads.

    Raises:
        UnavailableError: a server is away.
        RefusedError: the clicks topic does not exist.
        BundleError, ConfigurationError: there are no models, or a setting is wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(update={"patience": min(_PATIENCE_MS, settings.patience)})
        self._rules = rules_of(settings)
        self._description = rules_text(settings)
        self._topic = _describe(settings)
        self._asked_at = time.monotonic()
        self._asking = threading.Lock()
        self._reader = StateReader(self._settings, self._topic.id, self._rules.shop)
        self._models = CurrentModels(settings, self._reader)

    def session(self, session_id: str) -> dict[str, Any] | None:
        """What is open of a session; None where nothing is. The content of an OpenSessionView.

        Raises:
            UnavailableError: Redis does not answer.
            RefusedError: its state is damaged, or was made by other rules than those of our settings.
        """
        topic = self._current_topic()
        likely = partition_for(session_id.encode(), topic.partitions)
        found = self._reader.read(likely, (session_id,))
        partition = likely
        if not found.sessions:
            # Producers may place by another hash.
            others = [one for one in range(topic.partitions) if one != likely]
            holders = self._reader.holders(session_id, others) if others else []
            if not holders:
                return None
            partition = holders[0]
            found = self._reader.read(partition, (session_id,))
        return next(self._views(partition, found), None)

    def sessions(
        self, by: Answerer, at_least: float, at_most: float, limit: int
    ) -> tuple[list[dict[str, Any]], int, int]:
        """Open sessions whose chance of conversion by one scorer lies within bounds, the highest first.

        With them, how many are open, and how many of those were asked about.

        Raises:
            UnavailableError, RefusedError: as of `session`.
        """
        partitions = range(self._current_topic().partitions)
        latest = self._reader.latest(partitions, CONSIDERED)
        views: list[dict[str, Any]] = []
        count = 0
        for partition in partitions:
            found = self._reader.read(partition, latest.get(partition, ()))
            count += 0 if found.meta is None else found.meta.open_sessions
            views += self._views(partition, found)

        def chance(view: dict[str, Any]) -> float:
            return float(view["predictions"][by]["conversion"])

        answered = [view for view in views if view["predictions"] and at_least <= chance(view) <= at_most]
        # The newest first among equals.
        answered.sort(key=lambda view: (-chance(view), -view["last_click_at"]))
        return answered[:limit], count, len(views)

    def predict(self, partition: int, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """What the models that would score a session of a partition now say of each case, by scorer.

        Raises:
            UnavailableError, RefusedError: as of `session`.
        """
        answers, _, _ = self._models.predict(partition, self._reader.read(partition, ()).head, cases)
        return answers

    def problem(self) -> str:
        """Why no answer can be given now; empty where one can."""
        try:
            self._reader.ping()
        except ClickstreamError as error:
            return error.what
        return ""

    def close(self) -> None:
        """Drop the connections."""
        self._reader.close()

    def _views(self, partition: int, found: ReadState) -> Iterator[dict[str, Any]]:
        if not found.sessions or found.meta is None:
            return
        meta = found.meta
        if meta.settings != self._description:
            raise RefusedError(
                f"the sessions of partition {partition} are open under other rules: {meta.settings}",
                f"Start `serve` with the settings of the consumers; it has {self._description}.",
            )
        shop = self._rules.shop
        visits = {
            session_id: so_far(session_id, state, self._rules) for session_id, state in found.sessions.items()
        }
        whole = {session_id: shop.whole(visit.session) for session_id, visit in visits.items()}
        cases = [Case(shop.known(visit.session), whole[session_id]) for session_id, visit in visits.items()]
        answers, bundle, lessons = self._models.predict(partition, found.head, cases)
        doubt = Doubt(self._rules.gap + self._rules.allowed_lateness, meta.partial_before, meta.doubtful)
        for (session_id, visit), answer in zip(visits.items(), answers, strict=True):
            partly = doubt.covers(session_id, visit.session.opened_at)
            yield {
                **_facts(session_id, visit),
                "features": shop.shown(whole[session_id]),
                "predictions": None if partly else answer,
                "models": {"bundle": bundle, "lessons": lessons},
                "shop": shop.as_dict(),
                "partition": partition,
                "offset": meta.applied or 0,
                "error": REBUILT_PARTLY if partly else None,
            }

    def _current_topic(self) -> Topic:
        """The topic; asked for again, beside the requests, as it may have been created anew."""
        if time.monotonic() - self._asked_at >= _ASK_FOR_TOPIC_EVERY_S and self._asking.acquire(
            blocking=False
        ):
            self._asked_at = time.monotonic()
            threading.Thread(target=self._ask_for_topic, name="topic", daemon=True).start()
        return self._topic

    def _ask_for_topic(self) -> None:
        try:
            topic = _describe(self._settings)
            if topic != self._topic:
                log.info("the topic is another", topic=topic.name, partitions=topic.partitions)
                before, self._reader = self._reader, StateReader(self._settings, topic.id, self._rules.shop)
                self._models.read_from(self._reader)
                self._topic = topic
                before.close()
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
