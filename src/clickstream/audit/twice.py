"""Each partition is read a second time, see `independent`, and what differs is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from clickstream.audit.expected import facts
from clickstream.audit.independent import IndependentReading, ReadPoint, ReadWindow
from clickstream.audit.report import Place, Tally
from clickstream.consumer.open_scores import open_facts
from clickstream.infra.kafka import Record
from clickstream.infra.settings import Settings, opens
from clickstream.records.click import Click, Forget, Heartbeat
from clickstream.windows.open_points import OpenPoint
from clickstream.windows.partition import EVERY_SESSION, Partition, RefusedRecord
from clickstream.windows.rules import Rules


@dataclass(slots=True)
class SecondReading:
    """Of all partitions. `independent`: every session is read, not only those drawn."""

    settings: Settings
    rules: Rules
    independent: bool
    tally: Tally
    _again: dict[int, IndependentReading] = field(default_factory=dict)

    def take(
        self,
        logic: Partition,
        points: Sequence[OpenPoint],
        record: Record,
        parsed: Click | Heartbeat | Forget,
        refused: RefusedRecord | None,
    ) -> None:
        """Read the record that `logic` has just taken, and compare what both make of it."""
        shop, topic, partition = self.rules.shop, self.settings.clicks_topic, record.partition
        again = self._again.get(partition)
        if again is None:
            again = IndependentReading(
                self.rules, shop.definition, self.independent, opens=opens(self.settings)
            )
            self._again[partition] = again
        # The fingerprint of the settings is no part of what is read twice.
        reads = [
            ReadWindow(
                facts(shop, closed, shop.features(closed.session), topic, partition, settings=""),
                shop.evidence(closed.session),
                shop.lesson(closed.session),
            )
            for closed in logic.closed
            if again.is_drawn(closed.session_id)
        ]
        opened = [
            ReadPoint(open_facts(shop, point, topic, partition, settings=""), shop.whole(point.session))
            for point in points
            if again.is_drawn(point.session_id)
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
            cause = Place(topic, partition, record.offset)
            self.tally.report_score("wrong", found.id, cause, None, found.detail, found.differences)
        for found in again.compare_points(opened):
            cause = Place(topic, partition, record.offset)
            self.tally.report_open_score("wrong", found.id, cause, None, found.detail, found.differences)
        self.tally.read_twice += again.windows - before
