"""What failed in Kafka, as errors of ours: whether a retry can help, what to do. One text for all clients."""

from __future__ import annotations

from typing import Literal

from clickstream.infra.errors import (
    ClickstreamError,
    ConfigurationError,
    FencedError,
    RefusedError,
    UnavailableError,
)
from clickstream.infra.kafka.refusal import refusal
from clickstream.infra.reach import absence, hosts_of
from clickstream.infra.settings import Settings

Kind = Literal["fenced", "denied", "deleted", "missing", "not taken", "misconfigured", "away", "failed"]


class MissingError(UnavailableError):
    """The broker knows no such topic or group."""


class RecordRefusedError(UnavailableError):
    """The broker answered, and refuses the record itself: its timestamp, or that it has no key."""


class DamagedBatchError(RefusedError):
    """A batch in the log cannot be unpacked; the records before it were delivered.

    `partition`, and `offset`, the first that could not be read.
    """

    def __init__(
        self, topic: str, partition: int, offset: int, batch: str, reason: str, behind: int | None = None
    ) -> None:
        """`batch` is what it is called, `reason` why it cannot be read, `behind` the offset after it."""
        super().__init__(
            f"partition {partition} of {topic} cannot be read from offset {offset} on: {batch} cannot be"
            f" unpacked ({reason})",
            f"Read it with another client: kafka-console-consumer.sh --topic {topic}"
            f" --partition {partition} --offset {offset}. If that can, `clickstream doctor` names the codec"
            " that is missing here. If none can, its clicks are lost: have them sent again, and set the"
            f" group's offset of this partition behind the batch ({behind or 'after it'}) while no consumer"
            " runs, then start one with `clickstream consume --restart-from committed --partition"
            f" {partition}`: what is open there is forgotten.",
        )
        self.partition = partition
        self.offset = offset


class DeletedError(RefusedError):
    """The log of `partition` does not hold the offset that is to be read next."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(
            f"partition {partition} of {topic} cannot be read from offset {offset} on: the log does not hold"
            " that offset",
            "Retention or a tool deleted it before it was read, or the topic was created anew: those clicks"
            " are lost. To go on without them: stop the consumers, then start one with `clickstream consume"
            f" --restart-from earliest --partition {partition}`: what is open there is forgotten, and what"
            " the log still holds of what was scored is scored again.",
        )
        self.partition, self.offset = partition, offset


def _absence(settings: Settings) -> tuple[str, str]:
    """Why no broker answers: of the first address where that is a fault."""
    first = next(hosts_of(settings.kafka_bootstrap), None)
    if first is None:
        return "it cannot be reached", "Set CLICKSTREAM_KAFKA_BOOTSTRAP to host:port."
    return absence(*first, "Kafka", "CLICKSTREAM_KAFKA_BOOTSTRAP")


def failure(kind: Kind, doing: str, settings: Settings, reason: object) -> ClickstreamError:
    """The error of ours for what a client library reported while `doing` something.

    Args:
        kind: what it is: fenced by another process of our name; credentials or permission denied; an offset
            that was deleted; no such topic or group; a record that the broker does not take; a setting that
            cannot work; a broker that is away, or does not take our connections; or anything else.
        reason: the library's own words.
    """
    where = f"Kafka at {settings.kafka_bootstrap}"
    match kind:
        case "fenced":
            return FencedError(
                f"{doing}: another process took over ({reason})",
                "Nothing is lost. Run each --instance once only; a supervisor may restart this one.",
            )
        case "denied":
            return ConfigurationError(
                f"{doing}: {where} refused the credentials or the permission ({reason})",
                "Check CLICKSTREAM_KAFKA_USERNAME and CLICKSTREAM_KAFKA_PASSWORD, or give the user the rights"
                " that `clickstream acls` prints.",
            )
        case "deleted":
            return RefusedError(
                f"{doing}: the log does not hold the offset that is needed ({reason})",
                "It was deleted by retention or the topic was created anew; see `clickstream consume --help`"
                " for --restart-from.",
            )
        case "missing":
            return MissingError(
                f"{doing}: {where} does not know it ({reason})",
                "Check the name; `clickstream replay` and `clickstream consume` create their topics.",
            )
        case "not taken":
            return RecordRefusedError(
                f"{doing}: {where} refuses the record ({reason})",
                "Compare the record's timestamp with message.timestamp.before.max.ms and"
                " message.timestamp.after.max.ms of the topic; a compacted topic takes no record without a"
                " key. `clickstream doctor` looks at all three.",
            )
        case "misconfigured":
            return ConfigurationError(f"{doing}: {reason}", "Correct the CLICKSTREAM_KAFKA_… settings.")
        case "away":
            if (refused := refusal(settings)) is not None:
                return type(refused)(f"{doing}: {refused.what}", refused.remedy)
            what, remedy = _absence(settings)
            return UnavailableError(f"{doing}: {where} does not answer: {what} ({reason})", remedy)
        case "failed":
            return UnavailableError(
                f"{doing}: {where} did not do it ({reason})",
                "Check that the broker runs and that CLICKSTREAM_KAFKA_BOOTSTRAP names it; `clickstream"
                " doctor` looks at both.",
            )
