"""The client's errors as ours: what failed, whether a retry can help, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as kafka_errors

from clickstream.infra.errors import ConfigurationError, FencedError, RefusedError, UnavailableError
from clickstream.infra.reach import absence
from clickstream.infra.settings import Settings

_FENCED = (
    kafka_errors.ProducerFencedError,
    kafka_errors.FencedInstanceIdError,
    kafka_errors.InvalidProducerEpochError,
)
_NOT_TAKEN = (kafka_errors.InvalidTimestampError, kafka_errors.InvalidRecordError)
_DENIED = (kafka_errors.AuthorizationError, kafka_errors.SaslAuthenticationFailedError)
_AWAY = (kafka_errors.KafkaConnectionError, kafka_errors.KafkaTimeoutError)


class MissingError(UnavailableError):
    """The broker knows no such topic or group."""


class RecordRefusedError(UnavailableError):
    """The broker answered, and refuses the record itself: its timestamp, or that it has no key."""


class DamagedBatchError(RefusedError):
    """A batch in the log cannot be unpacked; the records before it were delivered.

    `partition`, and `offset`, the first that could not be read.
    """

    def __init__(self, topic: str, partition: int, offset: int, batch: str, reason: str, remedy: str) -> None:
        super().__init__(
            f"partition {partition} of {topic} cannot be read from offset {offset} on: {batch} cannot be"
            f" unpacked ({reason})",
            remedy,
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
    found = ("it cannot be reached", "Set CLICKSTREAM_KAFKA_BOOTSTRAP to host:port.")
    for address in (settings.kafka_bootstrap or "").split(","):
        # As the client reads it: an IPv6 address stands in brackets.
        host, _, port = address.strip().rpartition(":")
        if host and port.isdigit() and int(port) < 2**16:
            return absence(
                host.rpartition("//")[2].strip("[]"), int(port), "Kafka", "CLICKSTREAM_KAFKA_BOOTSTRAP"
            )
    return found


@contextmanager
def translated(doing: str, settings: Settings) -> Iterator[None]:
    """Turn the client's errors into ours."""
    where = f"Kafka at {settings.kafka_bootstrap}"
    try:
        yield
    except _FENCED as error:
        raise FencedError(
            f"{doing}: another process took over ({error})",
            "Nothing is lost. Run each --instance once only; a supervisor may restart this one.",
        ) from error
    except _DENIED as error:
        raise ConfigurationError(
            f"{doing}: {where} refused the credentials or the permission ({error})",
            "Check CLICKSTREAM_KAFKA_USERNAME, CLICKSTREAM_KAFKA_PASSWORD and the topic's ACLs.",
        ) from error
    except (kafka_errors.OffsetOutOfRangeError, kafka_errors.LogTruncationError) as error:
        raise RefusedError(
            f"{doing}: the log does not hold the offset that is needed ({error})",
            "It was deleted by retention or the topic was created anew; see `clickstream consume --help`"
            " for --restart-from.",
        ) from error
    except (kafka_errors.UnknownTopicOrPartitionError, kafka_errors.GroupIdNotFoundError) as error:
        raise MissingError(
            f"{doing}: {where} does not know it ({error})",
            "Check the name; `clickstream replay` and `clickstream consume` create their topics.",
        ) from error
    except _NOT_TAKEN as error:
        raise RecordRefusedError(
            f"{doing}: {where} refuses the record ({error})",
            "Compare the record's timestamp with message.timestamp.before.max.ms and"
            " message.timestamp.after.max.ms of the topic; a compacted topic takes no record without a key."
            " `clickstream doctor` looks at all three.",
        ) from error
    except kafka_errors.KafkaConfigurationError as error:
        raise ConfigurationError(f"{doing}: {error}", "Correct the CLICKSTREAM_KAFKA_… settings.") from error
    except (*_AWAY, OSError) as error:
        what, remedy = _absence(settings)
        raise UnavailableError(f"{doing}: {where} does not answer: {what} ({error})", remedy) from error
    except kafka_errors.KafkaError as error:
        raise UnavailableError(
            f"{doing}: {where} did not do it ({error})",
            "Check that the broker runs and that CLICKSTREAM_KAFKA_BOOTSTRAP names it; `clickstream doctor`"
            " looks at both.",
        ) from error


@contextmanager
def routed() -> Iterator[None]:
    """The client has no error of its own for a partition that a topic does not have, or has no more."""
    try:
        yield
    except ValueError as error:
        raise kafka_errors.UnknownTopicOrPartitionError(str(error)) from error
