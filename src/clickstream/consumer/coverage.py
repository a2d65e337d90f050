"""Whether somebody serves each partition: a settled group can leave some to nobody, for good.

A member with an identity that dies between the two rounds of a cooperative rebalance, and is back before its
session ends, is handed the first round's assignment. What it had given up there was to be handed out in the
second round, which now never comes: the group is stable, and only its leader could begin another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka import Admin, GroupState
from clickstream.infra.settings import Settings

_ASK_EVERY_S = 2.5
_PATIENCE_MS = 2_000
"""Nothing is scored while it is waited for: a frozen coordinator may not hold up what other brokers do."""


def unowned(state: GroupState, partitions: int) -> frozenset[int]:
    """Partitions that no member of a settled group has; empty while the group is being settled."""
    if state.state != "Stable":
        return frozenset()
    return frozenset(range(partitions)).difference(*(member.partitions for member in state.members))


class Coverage:
    """Asks the group's coordinator every few seconds, on a connection of its own."""

    def __init__(
        self, settings: Settings, partitions: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings.model_copy(update={"patience": min(settings.patience, _PATIENCE_MS)})
        self._partitions = partitions
        self._clock = clock
        self._asked_at = clock()
        self._before: frozenset[int] = frozenset()
        self._admin: Admin | None = None

    def left_over(self) -> frozenset[int]:
        """Partitions that nobody had twice in a row: between two rounds of a rebalance, once is no fault.

        Each is returned once in a while only, so that the group has time to do what it is then asked for.
        Empty where the coordinator does not answer; to find that out is the business of others.
        """
        if self._clock() - self._asked_at < _ASK_EVERY_S:
            return frozenset()
        try:
            self._admin = self._admin or Admin(self._settings)
            state = self._admin.group_state(self._settings.group, self._settings.clicks_topic)
        except ClickstreamError:
            self.close()
            state = GroupState("", ())
        self._asked_at = self._clock()
        now = unowned(state, self._partitions)
        still, self._before = now & self._before, now
        if still:
            self._before = frozenset()
        return still

    def close(self) -> None:
        """Drop the connection."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None
