"""What goes to a broker and comes from it, as values: no client library is in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Record(Protocol):
    """A record as it was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def timestamp(self) -> int | None:
        """In ms; None or -1 where its sender gave none."""


class OutgoingRecord(NamedTuple):
    """A record to publish; `partition` None leaves the choice to the key."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes


class CommittedOffset(NamedTuple):
    """An offset (of the next record to process) and the text committed with it."""

    offset: int
    metadata: str

    @classmethod
    def read(cls, offset: int, metadata: str | None) -> CommittedOffset:
        """As a broker has it. confluent-kafka commits the NUL that ends a string in C with it."""
        return cls(offset, (metadata or "").rstrip("\0"))


class Topic(NamedTuple):
    """A topic; `id` is unique to this creation of it."""

    name: str
    id: str
    partitions: int


class LogEnd(NamedTuple):
    """The offset after the last record of a partition, and the largest timestamp; None where it is empty."""

    offset: int
    newest: int | None


class DecidedEnds(NamedTuple):
    """Of each partition, the offset after the last record that a subscriber with read_committed gets.

    `held`: a transaction that is open holds back records which others have committed by now.
    """

    offsets: dict[int, int]
    held: bool


class Member(NamedTuple):
    """A consumer in a group: its stable name, or the id that the broker gave it, and what it was assigned.

    `rules` is what it gave as the rules it works by; empty where it is not one of ours.
    """

    name: str
    partitions: tuple[int, ...]
    rules: str = ""


class GroupState(NamedTuple):
    """A consumer group by the word of its coordinator: "Stable", "Empty", "PreparingRebalance", "Dead" …"""

    state: str
    members: tuple[Member, ...]


class Membership(NamedTuple):
    """Who we are in the group; goes into each transaction, so that a zombie's is refused."""

    generation: int
    raw: Any
