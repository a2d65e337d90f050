"""The models that a consumer scores with now, as far as Redis and the bundles say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clickstream.bundles.bundle import load_bundle
from clickstream.bundles.reasons import reasons
from clickstream.consumer.promotion import Promotions
from clickstream.consumer.state_format import unpack_online
from clickstream.consumer.state_reader import ReadState, StateReader
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings
from clickstream.models.case import Case
from clickstream.models.online import OnlineModels
from clickstream.models.reasons import Reasons
from clickstream.models.scorers import LEARNER

BATCH = "batch"


class CurrentModels:
    """The bundle in use, and each partition's online models, read again when they have learned.

    A consumer begins with the warm start where the stored models belong to another bundle; so does this. For
    one thread: the models are not made for more.
    """

    def __init__(self, settings: Settings) -> None:
        self._promotions = Promotions(settings)
        self._bundle = load_bundle(settings)
        self._online: dict[int, tuple[bytes, str, OnlineModels]] = {}

    @property
    def bundle_id(self) -> str:
        """The bundle whose models answer."""
        return self._bundle.id

    def forget(self) -> None:
        """Drop the online models: those of another topic follow."""
        self._online.clear()

    def read(
        self, reader: StateReader, partition: int, session_ids: Sequence[str], needed: bool = False
    ) -> ReadState:
        """Sessions of a partition, and with them the online models of the same moment, if they are new.

        Args:
            needed: read the models where none of the sessions is open, too.

        Raises:
            BundleError: the stored models cannot be read.
            UnavailableError, RefusedError: as of `StateReader.read`.
        """
        self._bundle = self._promotions.newer_than(self._bundle) or self._bundle
        found = reader.read(partition, session_ids)
        known = self._online.get(partition)
        is_known = known is not None and known[:2] == (found.head, self._bundle.id)
        if is_known or not (found.sessions or needed):
            return found
        found = reader.read(partition, session_ids, with_models=True)
        state = None
        if found.online:
            owner, kept = unpack_online(found.online)
            state = kept if owner == self._bundle.id else None
        try:
            models = self._bundle.online(state)
        except BundleError as error:
            raise BundleError(
                f"online models of partition {partition}: {error.what}", error.remedy
            ) from error
        self._online[partition] = found.head, self._bundle.id, models
        return found

    def predict(self, partition: int, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """What batch and online models say of each case of the partition that was read last."""
        online = self._online_of(partition)
        # The reference sees the click that decides: it has nothing to say of an open session.
        fitted = self._bundle.predict(cases, only=(BATCH,))
        return [
            {BATCH: of[BATCH].as_dict(), LEARNER.name: online.predict(case).as_dict()}
            for of, case in zip(fitted, cases, strict=True)
        ]

    def lessons(self, partition: int) -> int:
        """Sessions that the online models of the partition had learned."""
        return self._online_of(partition).lessons

    def reasons(self, partition: int, case: Case, at_most: int) -> dict[str, Reasons | None]:
        """By scorer, the features that moved its answer most."""
        scorers: dict[str, str | OnlineModels] = {BATCH: BATCH, LEARNER.name: self._online_of(partition)}
        return {name: reasons(self._bundle, case, scorer, at_most) for name, scorer in scorers.items()}

    def _online_of(self, partition: int) -> OnlineModels:
        return self._online[partition][2]
