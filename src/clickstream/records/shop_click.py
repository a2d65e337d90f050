"""The clicks of a shop: their record as a pydantic model, and the reading of what lies on the clicks topic.

A record is either parsed whole or refused whole, with a reason that goes into the dead letter.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import Field as Described
from pydantic import TypeAdapter, ValidationError, create_model

from clickstream.features.definition import Field, FieldType, ShopDefinition
from clickstream.records.click import SECONDS, Click, ClickFields, Forget, Heartbeat, InvalidRecordError
from clickstream.records.fast_click import REFUSALS, fast_reader

_LONGEST_DETAIL = 1_000

_PYTHON: dict[FieldType, Any] = {
    FieldType.TEXT: str,
    FieldType.NUMBER: float,
    FieldType.INTEGER: int,
    FieldType.BOOLEAN: bool,
}


class ClickParser:
    """Reads the records on the clicks topic of one shop; to be had from `parser_of`.

    Attributes:
        model: the click of this shop.
    """

    def __init__(self, definition: ShopDefinition) -> None:
        self.model = click_model(definition)
        either: Any = Annotated[self.model | Heartbeat | Forget, Described(discriminator="type")]
        self._validate = TypeAdapter(either).validate_json
        self._read_fast = fast_reader(self.model)

    def read(
        self, value: bytes | None, key: bytes | None, max_bytes: int = 65_536
    ) -> ClickFields | Heartbeat | Forget:
        """`parse`, several times as fast for a click that has fields of this shop only.

        Raises:
            InvalidRecordError: it cannot be used, and why.
        """
        if value is not None and len(value) <= max_bytes:
            try:
                click: ClickFields = self._read_fast(value)
            except REFUSALS:
                pass
            else:
                if key == click.session_id.encode() and click.event_time not in SECONDS:
                    return click
        return self.parse(value, key, max_bytes)

    def parse(
        self, value: bytes | None, key: bytes | None, max_bytes: int = 65_536
    ) -> Click | Heartbeat | Forget:
        """The record in `value`, checked against `key`.

        Raises:
            InvalidRecordError: it cannot be used, and why.
        """
        if value is None:
            raise InvalidRecordError("invalid", "the record has no value")
        if len(value) > max_bytes:
            raise InvalidRecordError("too-large", f"{len(value)} bytes; at most {max_bytes} are taken")
        try:
            record: Click | Heartbeat | Forget = self._validate(value)
        except ValidationError as error:
            raise _explain(error) from None
        if type(record) is not Heartbeat and key != record.session_id.encode():
            raise InvalidRecordError("key-mismatch", f"key {_short(key)}, session_id {record.session_id!r}")
        _refuse_seconds(record)
        return record

    def click_of(self, fields: dict[str, Any]) -> Click:
        """A click from its fields, checked as one on the topic is.

        Raises:
            InvalidRecordError: it cannot be used, and why.
        """
        try:
            click = self.model.model_validate(fields)
        except ValidationError as error:
            raise _explain(error) from None
        _refuse_seconds(click)
        return click


@cache
def parser_of(definition: ShopDefinition) -> ClickParser:
    """The parser of a shop's clicks."""
    return ClickParser(definition)


@cache
def click_model(definition: ShopDefinition) -> type[Click]:
    """The click of a shop: one page view of one visitor, checked field by field.

    Times are milliseconds since the epoch, UTC. Strict and frozen; fields that are not known are ignored, and
    a wrong one raises `pydantic.ValidationError`, a ValueError.

    >>> from clickstream import click_model, load_shop
    >>> Click = click_model(load_shop("uci553").definition)
    >>> shown = dict(product="A13", category="trousers", price=48.0, price_2=1, page=1)
    >>> click = Click(session_id="alice", event_time=1_700_000_000_000, **shown)
    >>> click.order is None, click.end
    (True, False)
    >>> Click(session_id="alice", event_time="now", **shown)
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: ...
    """
    fields: dict[str, Any] = {field.name: _described(field) for field in definition.fields}
    doc = "One page view of one visitor. The record's key is the session id."
    return create_model("Click", __base__=Click, __doc__=doc, **fields)


def _described(field: Field) -> tuple[Any, Any]:
    bounds: dict[str, Any] = {}
    if field.type is FieldType.TEXT:
        bounds = {"min_length": int(field.at_least or 0), "max_length": int(field.at_most or 0)}
    elif field.type is not FieldType.BOOLEAN:
        bounds = {"ge": field.at_least, "le": field.at_most}
    described = Described(description=field.about or None, **bounds)
    if field.optional:
        return Annotated[_PYTHON[field.type] | None, described], None
    return Annotated[_PYTHON[field.type], described], ...


def _refuse_seconds(record: Click | Heartbeat | Forget) -> None:
    if record.event_time in SECONDS:
        raise InvalidRecordError(
            "invalid",
            f"event_time: {record.event_time} reads as seconds since the epoch; send milliseconds",
        )


def _explain(error: ValidationError) -> InvalidRecordError:
    problems = error.errors(include_url=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        return InvalidRecordError("not-json", problems[0]["msg"])
    told = []
    for problem in problems[:5]:
        # The first part of the location is the tag of the union, which the sender never wrote.
        where = ".".join(str(part) for part in problem["loc"] if part not in ("click", "heartbeat", "forget"))
        value = "" if problem["type"] == "missing" else f" (got {_short(problem['input'])})"
        told.append(f"{where or 'record'}: {problem['msg']}{value}")
    # A message can quote what was sent.
    return InvalidRecordError("invalid", "; ".join(told)[:_LONGEST_DETAIL])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
