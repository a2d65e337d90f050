"""Each partition is read a second time, see `independent`, and what differs is reported."""

from __future__ import annotations

from dataclasses import dataclass, field

from clickstream.audit.expected import facts
from clickstream.audit.independent import IndependentReading, ReadWindow
from clickstream.audit.report import Finding, Place, Tally
from clickstream.infra.kafka import Record
from clickstream.records.click import Click, Heartbeat
from clickstream.windows.partition import EVERY_SESSION, Partition, RefusedRecord, Rules


@dataclass(slots=True)
class SecondReading:
    """Of all partitions. `independent`: every session is read, not only those drawn."""

    rules: Rules
    independent: bool
    clicks_topic: str
    settings: str
    tally: Tally
    _again: dict[int, IndependentReading] = field(default_factory=dict)

    def take(
        self, logic: Partition, record: Record, parsed: Click | Heartbeat, refused: RefusedRecord | None
    ) -> None:
        """Read the record that `logic` has just taken, and compare what both make of it."""
        again = self._again.get(record.partition)
        if again is None:
            again = self._again[record.partition] = IndependentReading(
                self.rules, self.rules.shop.definition, self.independent
            )
        shop = self.rules.shop
        reads = [
            ReadWindow(
                facts(
                    shop,
                    closed,
                    shop.features(closed.session),
                    self.clicks_topic,
                    record.partition,
                    self.settings,
                ),
                shop.evidence(closed.session),
            )
            for closed in logic.closed
            if again.is_drawn(closed.session_id)
        ]
        before = again.windows
        for found in again.advance(
            record.offset,
            record.timestamp,
            parsed,
            reads,
            None if refused is None else refused.reason,
            logic.open_sessions,
            logic.early.get(EVERY_SESSION, -1),
        ):
            self.tally.add_wrong(found.id)
            cause = Place(self.clicks_topic, record.partition, record.offset)
            self.tally.add_finding(
                Finding("wrong", "score", found.id, cause, None, found.detail, found.differences)
            )
        self.tally.read_twice += again.windows - before
