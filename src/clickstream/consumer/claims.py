"""The partitions that are ours: claimed where the group assigns them, given up where it takes them away."""

from __future__ import annotations

from collections.abc import Callable, Collection

from clickstream.bundles.bundle import Bundle
from clickstream.consumer.counters import Counters
from clickstream.consumer.coverage import Coverage
from clickstream.consumer.ports import Clock, GroupClient
from clickstream.consumer.recovery import Claim, Recovery
from clickstream.consumer.state_format import DamagedError
from clickstream.infra.errors import RefusedError
from clickstream.infra.failpoints import failpoint
from clickstream.infra.kafka import Membership, Topic
from clickstream.infra.logs import logger

log = logger("claims")

_CLAIMING_S = 20.0  # a group waits a minute for a poll


class Claims:
    """Claims of the partitions that the group assigns to this consumer; of `only` those, where it is given.

    Attributes:
        held: by partition, the claims of those that are served.
        refused: by partition, why it is not served and waits for a person.
    """

    def __init__(
        self,
        topic: Topic,
        consumer: GroupClient,
        recovery: Recovery,
        counters: Counters,
        coverage: Coverage,
        check_members: Callable[[], None],
        clock: Clock,
        only: Collection[int] | None = None,
    ) -> None:
        """`check_members` is called before the first claim; it refuses where others work by other rules."""
        self._topic = topic
        self._consumer = consumer
        self._recovery = recovery
        self.counters = counters
        self._coverage = coverage
        self._check_members = check_members
        self._clock = clock
        self._only = only
        self.held: dict[int, Claim] = {}
        self.refused: dict[int, RefusedError] = {}
        self._added: RefusedError | None = None

    def take_assignment(self, membership: Membership) -> set[int]:
        """Make the claims equal to the assignment; return the partitions that were not held before it.

        What was polled of those belongs to a former claim.

        Raises:
            RefusedError: all that is ours is refused.
        """
        assigned = self._consumer.assignment()
        now = self._clock()
        # Who has them all need not ask. All who notice join anew: it takes the leader, whoever that is.
        if len(assigned) < self._topic.partitions and (left_over := self._coverage.left_over()):
            log.warning("nobody has these partitions, joining anew", partitions=sorted(left_over))
            self._consumer.rejoin()
        for partition in self._consumer.newly_assigned() | (self.held.keys() - assigned):
            self.refused.pop(partition, None)
            claim = self.held.pop(partition, None)
            if claim is not None:
                log.info("gave up", partition=partition, applied=claim.applied, committed=claim.committed)
                failpoint("after_give_up")
        missing = assigned - self.held.keys()
        self.refused = {p: error for p, error in self.refused.items() if p in missing}
        if self._only is not None:
            missing &= set(self._only)
        unclaimed = sorted(missing - self.refused.keys())
        if any(partition < self._topic.partitions for partition in unclaimed) and not self.held:
            # Two may have come to the door at once; and a zombie that rejoins has not come by it.
            self._check_members()
        for partition in unclaimed:
            if partition >= self._topic.partitions:
                if self._added is not None:
                    self.refuse(partition, self._added)
                continue
            if self._clock() - now > _CLAIMING_S:
                break  # the rest after the next poll
            with self.counters.stage("recover"):
                try:
                    claim = self._recovery.claim(partition, membership)
                    self.held[partition] = claim
                    self.counters.claimed(claim)
                except DamagedError:
                    raise  # the next claim rebuilds it
                except RefusedError as error:
                    # The others are served; this one waits for a person.
                    self.refuse(partition, error)
        ours = assigned if self._only is None else assigned & frozenset(self._only)
        if ours and self.refused.keys() >= ours:
            raise self.refused[min(ours)]
        return set(missing)

    def refuse(self, partition: int, error: RefusedError) -> None:
        """Serve this partition no more, until the group assigns it again."""
        self._consumer.hold([partition])
        self.held.pop(partition, None)
        self.refused[partition] = error
        log.error("not served", partition=partition, error=error.what, remedy=error.remedy)

    def drop(self) -> None:
        """Give up all, to recover those that are still assigned."""
        self._consumer.hold(list(self.held))
        self.held.clear()

    def close(self) -> None:
        """Forget what is held, and drop the connection to the group's coordinator."""
        self.held.clear()
        self._coverage.close()

    def notice_added(self) -> None:
        """Notice partitions that somebody added: which one a session's clicks go to depends on their number.

        The partitions from before are served on, so that they can be drained; the new ones wait in the log.
        """
        now = self._consumer.partitions()
        if now > self._topic.partitions and self._added is None:
            self._added = RefusedError(
                f"topic {self._topic.name} had {self._topic.partitions} partitions when this consumer started"
                f" and has {now} now: clicks of a session that is open may go to another partition",
                "Stop the producers, close what is open with `clickstream drain` (it reports that the new"
                " partitions are not drained: they wait), then stop all consumers and start them again.",
            )
            log.error("partitions were added", error=self._added.what, remedy=self._added.remedy)

    def use(self, bundle: Bundle) -> None:
        """Give each partition the online models of this bundle's warm start.

        What Redis holds of the former online models is overwritten with the next lesson, and not read before:
        it says which bundle it belongs to.
        """
        self._recovery.bundle = bundle
        for claim in self.held.values():
            claim.online = bundle.online()

    def in_the_way(self) -> list[str]:
        """Why partitions that are assigned give no scores, a sentence each."""
        replaying = [claim for claim in self.held.values() if claim.replaying]
        return [
            *([self._added.what] if self._added else ()),
            *(f"partition {p} is not served: {error.what}" for p, error in self.refused.items()),
            *(
                f"partition {c.partition} is replayed to {c.publish_from}, now at {c.applied}"
                for c in replaying
            ),
        ]
