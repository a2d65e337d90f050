"""The models that a consumer scores with now, as far as Redis and the bundles say it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from clickstream.bundles.bundle import load_bundle
from clickstream.consumer.promotion import Promotions
from clickstream.consumer.state_format import unpack_online
from clickstream.consumer.state_reader import StateReader, head_of
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings
from clickstream.models.case import Case
from clickstream.models.online import OnlineModels
from clickstream.models.scorers import LEARNER


class CurrentModels:
    """The bundle in use, and each partition's online models, read again when they have learned.

    A consumer begins with the warm start where the stored models belong to another bundle; so does this. One
    thread at a time predicts: the models are not made for more.
    """

    def __init__(self, settings: Settings, reader: StateReader) -> None:
        self._reader = reader
        self._promotions = Promotions(settings)
        self._bundle = load_bundle(settings)
        self._online: dict[int, tuple[bytes, str, OnlineModels]] = {}
        self._lock = threading.Lock()

    def read_from(self, reader: StateReader) -> None:
        """Take the online models from another topic's state."""
        with self._lock:
            self._reader = reader
            self._online.clear()

    def predict(
        self, partition: int, head: bytes, cases: Sequence[Case]
    ) -> tuple[list[dict[str, Any]], str, int]:
        """What batch and online models say of each case, the bundle's id, and the lessons learned.

        Args:
            head: which online models were stored when the cases were read.

        Raises:
            BundleError: the stored models cannot be read.
            ClickstreamError: they cannot be fetched.
        """
        with self._lock:
            self._bundle = self._promotions.newer_than(self._bundle) or self._bundle
            online = self._online_of(partition, head)
            # The reference sees the click that decides: it has nothing to say of an open session.
            fitted = self._bundle.predict(cases, only=("batch",))
            answers: list[dict[str, Any]] = [
                {"batch": of["batch"]._asdict(), LEARNER.name: online.predict(case)._asdict()}
                for of, case in zip(fitted, cases, strict=True)
            ]
            return answers, self._bundle.id, online.lessons

    def _online_of(self, partition: int, head: bytes) -> OnlineModels:
        known = self._online.get(partition)
        if known is not None and known[:2] == (head, self._bundle.id):
            return known[2]
        stored = self._reader.online(partition) if head else b""
        state = None
        if stored:
            owner, kept = unpack_online(stored)
            state = kept if owner == self._bundle.id else None
        try:
            models = self._bundle.online(state)
        except BundleError as error:
            raise BundleError(
                f"online models of partition {partition}: {error.what}", error.remedy
            ) from error
        self._online[partition] = head_of(stored), self._bundle.id, models
        return models
