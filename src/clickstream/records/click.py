"""Click and Heartbeat: the records on the clicks topic, and their parsing.

A record is either parsed whole or refused whole, with a reason that goes into the dead letter.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

# 9999-12-31T23:59:59.999Z: beyond it no calendar library can print the time.
_LAST_MS = 253_402_300_799_999

# Seconds of the years 1990 to 2099. As milliseconds they lie in January and February of 1970, and whole days
# of clicks would run together into one visit.
_SECONDS = range(631_152_000, 4_102_444_800)

_LONGEST_DETAIL = 1_000

EventTime = Annotated[
    int,
    Field(
        ge=0,
        le=_LAST_MS,
        description="milliseconds since the epoch, UTC; what reads as seconds of a year from 1990 to 2099 is"
        " refused",
        json_schema_extra={"not": {"minimum": _SECONDS.start, "maximum": _SECONDS.stop - 1}},
    ),
]
SessionId = Annotated[str, Field(min_length=1, max_length=256)]


class _Record(BaseModel):
    # Strict: a "12" where a number belongs is a bug of the sender that we must not paper over.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class ClickBase(_Record):
    """One page view of one visitor. The record's key is the session id."""

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


class Click(ClickBase):
    """One page view of one visitor. The record's key is the session id.

    Times are milliseconds since the epoch, UTC. Fields are checked strictly, and a wrong one raises
    `pydantic.ValidationError`, a ValueError.

    >>> from clickstream import Click
    >>> shown = dict(product="A13", category="trousers", price=48.0, price_2=1, page=1)
    >>> click = Click(session_id="alice", event_time=1_700_000_000_000, **shown)
    >>> click.order is None, click.end
    (True, False)
    >>> Click(session_id="alice", event_time="now", **shown)
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: ...
    """

    product: Annotated[str, Field(min_length=1, max_length=256)]
    category: Annotated[str, Field(min_length=1, max_length=128)]
    price: Annotated[float, Field(ge=0, le=1e9, description="US dollars in the 2008 dataset")]
    price_2: Annotated[int, Field(ge=1, le=2, description="1: above the mean price of the category, 2: not")]
    page: Annotated[int, Field(ge=1, le=1_000_000, description="depth of the page in the shop")]
    country: Annotated[int | None, Field(ge=0, le=1_000_000)] = None
    colour: Annotated[int | None, Field(ge=0, le=1_000_000)] = None
    location: Annotated[int | None, Field(ge=0, le=1_000_000)] = None
    photography: Annotated[int | None, Field(ge=0, le=1_000_000)] = None


class Heartbeat(_Record):
    """Carries event time forward on a partition without a click."""

    type: Literal["heartbeat"] = "heartbeat"
    event_time: EventTime
    flush: Annotated[bool, Field(description="settle and close every open session")] = False


K = TypeVar("K", bound=ClickBase)

RecordFault = Literal["too-large", "not-json", "invalid", "key-mismatch"]

ClockFault = Literal["invalid", "future", "past"]


class InvalidRecordError(ValueError):
    """A record that is neither a Click nor a Heartbeat.

    `detail` names field and value.
    """

    def __init__(self, reason: RecordFault, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


ClickRecord: TypeAdapter[Click | Heartbeat] = TypeAdapter(
    Annotated[Click | Heartbeat, Field(discriminator="type")]
)
_validate = ClickRecord.validate_json


def parse(value: bytes | None, key: bytes | None, max_bytes: int = 65_536) -> Click | Heartbeat:
    """The record in `value`, checked against `key`.

    Raises:
        InvalidRecordError: it cannot be used, and why.
    """
    if value is None:
        raise InvalidRecordError("invalid", "the record has no value")
    if len(value) > max_bytes:
        raise InvalidRecordError("too-large", f"{len(value)} bytes; at most {max_bytes} are taken")
    try:
        record = _validate(value)
    except ValidationError as error:
        raise _explain(error) from None
    if type(record) is Click and key != record.session_id.encode():
        raise InvalidRecordError("key-mismatch", f"key {_short(key)}, session_id {record.session_id!r}")
    _refuse_seconds(record)
    return record


def click_of(fields: dict[str, Any]) -> Click:
    """A click of shop uci553 from its fields, checked as one on the topic is.

    Raises:
        InvalidRecordError: it cannot be used, and why.
    """
    return checked(Click, fields)


def checked(kind: type[K], fields: dict[str, Any]) -> K:
    """The same for clicks of any `kind`."""
    try:
        click = kind.model_validate(fields)
    except ValidationError as error:
        raise _explain(error) from None
    _refuse_seconds(click)
    return click


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


def _refuse_seconds(record: ClickBase | Heartbeat) -> None:
    event_time = record.event_time
    if _SECONDS.start <= event_time < _SECONDS.stop:
        raise InvalidRecordError(
            "invalid", f"event_time: {event_time} reads as seconds since the epoch; send milliseconds"
        )


def _explain(error: ValidationError) -> InvalidRecordError:
    problems = error.errors(include_url=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        return InvalidRecordError("not-json", problems[0]["msg"])
    details = []
    for problem in problems[:5]:
        # The first part of the location is the tag of the union, which the sender never wrote.
        where = ".".join(str(part) for part in problem["loc"] if part not in ("click", "heartbeat"))
        value = "" if problem["type"] == "missing" else f" (got {_short(problem['input'])})"
        details.append(f"{where or 'record'}: {problem['msg']}{value}")
    # A message can quote what was sent.
    return InvalidRecordError("invalid", "; ".join(details)[:_LONGEST_DETAIL])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
