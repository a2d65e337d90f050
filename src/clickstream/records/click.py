"""Click, Heartbeat and Forget: the records on the clicks topic. See shop_click.py for their parsing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, final

from pydantic import BaseModel, ConfigDict, Field

# 9999-12-31T23:59:59.999Z: beyond it no calendar library can print the time.
LAST_MS = 253_402_300_799_999

SECONDS = range(631_152_000, 4_102_444_800)
"""Seconds of the years 1990 to 2099. As milliseconds they lie in January and February of 1970, and whole days
of clicks would run together into one visit."""

EventTime = Annotated[
    int,
    Field(
        ge=0,
        le=LAST_MS,
        description="milliseconds since the epoch, UTC; what reads as seconds of a year from 1990 to 2099 is"
        " refused",
        json_schema_extra={"not": {"minimum": SECONDS.start, "maximum": SECONDS.stop - 1}},
    ),
]
SessionId = Annotated[str, Field(min_length=1, max_length=256)]


class _Record(BaseModel):
    # Strict: a "12" where a number belongs is a bug of the sender that we must not paper over.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class Click(_Record):
    """One page view of one visitor. The record's key is the session id.

    This is what every click has; `click_model` adds the fields of a shop, which are attributes, too.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    type: Literal["click"] = "click"
    session_id: SessionId
    event_time: EventTime
    order: Annotated[int | None, Field(ge=1, le=1_000_000, description="1-based position in the session")] = (
        None
    )
    end: Annotated[bool, Field(description="the shop says that the visit is over")] = False
    time_source: Annotated[
        str | None, Field(max_length=64, description='"synthetic" where the times were made up')
    ] = None


class ClickFields(Protocol):
    """What every click has, however it was read; the fields of its shop are attributes, too."""

    @property
    def session_id(self) -> str:
        """Names the visitor's session."""
        ...

    @property
    def event_time(self) -> int:
        """Milliseconds since the epoch."""
        ...

    def __getattr__(self, name: str) -> Any: ...


@final
class Heartbeat(_Record):
    """Carries event time forward on a partition without a click."""

    type: Literal["heartbeat"] = "heartbeat"
    event_time: EventTime
    flush: Annotated[bool, Field(description="settle and close every open session")] = False


@final
class Forget(_Record):
    """Drops what is open of a session, without a score. The record's key is the session id."""

    type: Literal["forget"] = "forget"
    session_id: SessionId
    event_time: ClassVar[int] = -1
    """It has none: before all others, so that it moves no clock."""


RecordFault = Literal["too-large", "not-json", "invalid", "key-mismatch"]

ClockFault = Literal["invalid", "future", "past"]


class InvalidRecordError(ValueError):
    """A record that is no Click, Heartbeat or Forget.

    `detail` names field and value.
    """

    def __init__(self, reason: RecordFault, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def wrong_clock(
    event_time: int, timestamp: int | None, max_ahead: int, max_behind: int
) -> tuple[ClockFault, str] | None:
    """Why a record whose event time and Kafka timestamp are so far apart is refused (T8); None: it is not.

    All in ms; `timestamp` None or negative where the record has none, `max_behind` 0 for no bound.
    """
    if timestamp is None or timestamp < 0:
        return "invalid", "the record has no Kafka timestamp to compare event_time with"
    ahead = event_time - timestamp
    if ahead > max_ahead:
        return "future", f"event_time is {ahead} ms beyond the record's timestamp"
    if max_behind and -ahead > max_behind:
        return "past", f"event_time is {-ahead} ms before the record's timestamp"
    return None
