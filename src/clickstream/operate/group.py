"""A group at one moment, by what Kafka knows: who is in it, how far it is, what is open.

Consumers commit a note beside each offset: open sessions, and the largest event time before it. Scores and
dead letters are counted as they come, since an offset counts markers of transactions too. Nothing is asked of
Redis.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack, closing
from typing import NamedTuple

from clickstream.consumer.note import read_note
from clickstream.infra.errors import UnavailableError
from clickstream.infra.kafka import Admin, GroupState, MissingError, Reader, Topic
from clickstream.infra.settings import Settings
from clickstream.windows.partition import NOTHING_SEEN

_PATIENCE_MS = 2_000
_TURN_MS = 50


class PartitionProgress(NamedTuple):
    """One partition of the clicks topic.

    `committed` is the group's offset, None before its first; `open_sessions` and `newest` (event time, ms)
    are as of that offset. `end` is the offset after the last record, `last` the largest timestamp in the log.
    """

    partition: int
    owner: str
    end: int
    last: int | None
    committed: int | None
    newest: int | None
    open_sessions: int
    scores: int = 0

    @property
    def lag(self) -> int:
        """Records that are not committed yet."""
        return max(self.end - (self.committed or 0), 0)

    @property
    def behind_ms(self) -> int:
        """Event time between the newest record in the log and the newest that was worked through."""
        if not self.lag or self.last is None or self.newest is None:
            return 0
        return max(self.last - self.newest, 0)


class GroupSnapshot(NamedTuple):
    """A group at one moment (`at`: monotonic seconds); `scores`, `dead_letters` since the first snapshot."""

    at: float
    group: GroupState
    partitions: tuple[PartitionProgress, ...]
    scores: int
    dead_letters: int


class GroupObserver:
    """Asks Kafka how far one group is. After an error the next question connects anew. To be closed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: Admin | None = None
        self._topic: Topic | None = None

    def progress(self) -> tuple[GroupState, tuple[PartitionProgress, ...]]:
        """The group, and its partitions in their order.

        Raises:
            UnavailableError: the broker does not answer, or there is no such topic.
        """
        try:
            self._admin = self._admin or Admin(self._settings)
            self._topic = self._topic or _existing(self._admin, self._settings)
            return self._ask(self._admin, self._topic)
        except UnavailableError:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection."""
        if self._admin is not None:
            self._admin.close()
        self._admin = self._topic = None

    def _ask(self, admin: Admin, topic: Topic) -> tuple[GroupState, tuple[PartitionProgress, ...]]:
        # Offsets before ends: what is published meanwhile is lag, and never less than none.
        offsets = admin.group_offsets(self._settings.group, topic.name)
        ends = admin.log_ends(topic)
        group = admin.group_state(self._settings.group, topic.name)
        owners = {partition: member.name for member in group.members for partition in member.partitions}
        partitions = []
        for partition, end in sorted(ends.items()):
            committed = offsets.get(partition)
            note = read_note(committed)
            partitions.append(
                PartitionProgress(
                    partition,
                    owners.get(partition, ""),
                    end.offset,
                    end.newest,
                    committed.offset if committed else None,
                    note.newest if note and note.newest != NOTHING_SEEN else None,
                    note.open if note else 0,
                )
            )
        return group, tuple(partitions)


def _existing(admin: Admin, settings: Settings) -> Topic:
    topic = admin.describe_topic(settings.clicks_topic)
    if topic is None:
        raise MissingError(
            f"there is no topic {settings.clicks_topic!r} at {settings.kafka_bootstrap}",
            "Check the name; `clickstream replay` and `clickstream consume` create their topics.",
        )
    return topic


class Watcher:
    """Takes snapshots of one group and counts its results. After an error it connects anew. To be closed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(update={"patience": min(settings.patience, _PATIENCE_MS)})
        self._observer = GroupObserver(self._settings)
        self._open = ExitStack()
        self._connected = False
        self._scores: Counter[int] = Counter()
        self._letters = 0
        self._positions: dict[tuple[str, int], int] = {}

    def snapshot(self, wait_ms: int = 200) -> GroupSnapshot:
        """The group now, after reading scores and dead letters for `wait_ms`.

        Raises:
            UnavailableError: the broker does not answer, or there is no such topic.
        """
        try:
            self._connect()
            until = time.monotonic() + wait_ms / 1000
            while (left_s := until - time.monotonic()) > 0:
                # In turns: what a poll finds was fetched since the last one, so each needs many.
                for reader in (self._score_reader, self._letter_reader):
                    self._count(reader, min(round(left_s * 1000), _TURN_MS))
            group, partitions = self._observer.progress()
        except UnavailableError:
            self.close()
            raise
        if self._score_reader.partitions == [one.partition for one in partitions]:
            partitions = tuple(one._replace(scores=self._scores[one.partition]) for one in partitions)
        return GroupSnapshot(time.monotonic(), group, partitions, self._scores.total(), self._letters)

    def close(self) -> None:
        """Drop the connections."""
        self._observer.close()
        self._open.close()
        self._connected = False

    def _connect(self) -> None:
        if not self._connected:
            self._observer.progress()
            self._score_reader = self._reader(self._settings.scores_topic)
            self._letter_reader = self._reader(self._settings.dead_letter_topic)
            self._connected = True

    def _reader(self, topic: str) -> Reader:
        """A reader that starts at the end, or where the last connection was."""
        reader = self._open.enter_context(closing(Reader(self._settings, topic)))
        for partition, end in reader.end_offsets().items():
            reader.seek(partition, self._positions.setdefault((topic, partition), end))
        return reader

    def _count(self, reader: Reader, wait_ms: int) -> None:
        for record in reader.poll(timeout_ms=wait_ms):
            self._positions[reader.topic, record.partition] = record.offset + 1
            if reader is self._score_reader:
                self._scores[record.partition] += 1
            else:
                self._letters += 1
