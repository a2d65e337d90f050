"""Spec: the mapping file, TOML. It says which column is which, and how to derive what a shop does not log."""

from __future__ import annotations

import hashlib
import re
import tomllib
import zoneinfo
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from clickstream.features.definition import FieldType, ShopDefinition
from clickstream.infra.errors import InputError, MissingFileError

WHERE = (
    "docs/own-clicks.md, section From a log file, lists every key; examples/own-clicks is one to begin with."
)

_LARGEST = 1 << 20
_OF_THE_MACHINE = ("localtime", "posixrules")

Scalar = str | int | float | bool

M = TypeVar("M", bound="ColumnMapping")


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Spec):
    """Where a field of the click comes from: a column, or a constant.

    Attributes:
        values: text in the column -> what it stands for.
        missing: what to take where the column is empty, or its text is not among `values`.
    """

    column: str | None = None
    constant: Scalar | None = None
    values: dict[str, Scalar] | None = None
    missing: Scalar | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_origin(self) -> Column:
        named = [name for name in ("column", "constant", "derive") if getattr(self, name, None) is not None]
        if len(named) != 1:
            raise ValueError(
                f"needs one of column, constant{self._derivable()}; has {' and '.join(named) or 'none'}"
            )
        if self.column is None and (self.values is not None or self.missing is not None):
            raise ValueError("values and missing belong to a column")
        return self

    def _derivable(self) -> str:
        return " or derive" if "derive" in type(self).model_fields else ""


class TextColumn(Column):
    """A text. `up_to`: only what stands before this separator, as "a" of the path "a.b.c"."""

    up_to: Annotated[str, Field(min_length=1, max_length=8)] | None = None


class NumberColumn(Column):
    """A number; `decimal` is its decimal sign."""

    decimal: Literal[".", ","] = "."


class TimeColumn(_Spec):
    """A time: `format` is iso (ISO 8601), s, ms, us or ns (since 1970), or a pattern of strptime.

    `timezone` (IANA) is that of times that do not say theirs.
    """

    column: str
    format: str = "iso"
    timezone: str = "UTC"

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @field_validator("format")
    @classmethod
    def _known(cls, given: str) -> str:
        if given not in ("iso", "s", "ms", "us", "ns") and "%" not in given:
            raise ValueError("write iso, s, ms, us, ns, or a pattern such as %d.%m.%Y %H:%M:%S")
        try:
            datetime.strptime(datetime(2026, 3, 2, tzinfo=UTC).strftime(given), given)
        except (ValueError, re.error):
            raise ValueError("is no pattern of strptime") from None
        return given

    @field_validator("timezone")
    @classmethod
    def _on_earth(cls, given: str) -> str:
        try:
            # That of a machine would be another one on each.
            known = given not in _OF_THE_MACHINE and zoneinfo.ZoneInfo(given) is not None
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            known = False
        if not known:
            raise ValueError("is no time zone such as UTC or Europe/Warsaw")
        return given


class PriceLevelColumn(Column):
    """price_2. `mean-of-category`: 1 above the mean price of the category's products in the file, else 2."""

    derive: Literal["mean-of-category"] | None = None


class PageColumn(Column):
    """page. `depth`: how many different products of the click's category the session has shown up to it, at
    most `at_most`.
    """

    derive: Literal["depth"] | None = None
    at_most: Annotated[int, Field(ge=1, le=1_000_000)] = 5


class ClickColumns(_Spec):
    """The fields of a click, which `targets` lists: field -> where it comes from."""

    session_id: TextColumn
    event_time: TimeColumn

    @property
    def targets(self) -> dict[str, Column | TimeColumn]:
        """Of the fields that the mapping says something of."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: spec for name, spec in named.items() if spec is not None}


class UciClickColumns(ClickColumns):
    """The fields of a click of shop uci553. Those that the log of a shop seldom has are derived unless it
    says otherwise.
    """

    product: TextColumn
    category: TextColumn
    price: NumberColumn
    price_2: PriceLevelColumn = PriceLevelColumn(derive="mean-of-category")
    page: PageColumn = PageColumn(derive="depth")
    order: NumberColumn | None = None
    country: NumberColumn | None = None
    colour: NumberColumn | None = None
    location: NumberColumn | None = None
    photography: NumberColumn | None = None


class RowSelection(_Spec):
    """Which rows are clicks: those with one of `keep` in `column`.

    A row with one of `end` says that the visit is over: the session's last click up to then carries `end`.
    """

    column: str
    keep: Annotated[list[str], Field(min_length=1)]
    end: list[str] = []


class FileLayout(_Spec):
    """How the file is written; what is not said is found out."""

    format: Literal["csv", "jsonl"] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str | None = None

    @field_validator("encoding")
    @classmethod
    def _known(cls, given: str | None) -> str | None:
        if given is not None:
            try:
                "".encode(given)
            except LookupError:
                raise ValueError("is no encoding such as utf-8 or windows-1252") from None
        return given


class ColumnMapping(_Spec):
    """A mapping file, whatever the fields of its clicks are."""

    clicks: ClickColumns
    rows: RowSelection | None = None
    file: FileLayout = FileLayout()
    time_source: Annotated[str, Field(min_length=1, max_length=64)] = "recorded"

    @property
    def sha256(self) -> str:
        """Of what it says, whatever its spelling."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class UciMapping(ColumnMapping):
    """A mapping onto the clicks of shop uci553."""

    clicks: UciClickColumns


_COLUMNS: dict[FieldType, type[Column]] = {
    FieldType.TEXT: TextColumn,
    FieldType.NUMBER: NumberColumn,
    FieldType.INTEGER: NumberColumn,
    FieldType.BOOLEAN: Column,
}


@cache
def mapping_onto(definition: ShopDefinition) -> type[ColumnMapping]:
    """Mappings onto the clicks of a shop: its own fields, and what every click has."""
    targets: dict[str, Any] = {"order": (NumberColumn | None, None), "end": (Column | None, None)}
    for field in definition.fields:
        column: Any = _COLUMNS[field.type]
        targets[field.name] = (column | None, None) if field.optional else (column, ...)
    clicks = create_model("ShopClicks", __base__=ClickColumns, **targets)
    return create_model("ShopMapping", __base__=ColumnMapping, clicks=(clicks, ...))


def mapping_by_name(definition: ShopDefinition) -> ColumnMapping:
    """The mapping of a file whose columns are named as the fields, as clicks lie on the topic."""
    times = {"event_time": {"column": "event_time", "format": "ms"}}
    named = {field.name: field.name for field in definition.fields}
    clicks = {name: name for name in ("session_id", "order", "end")} | named | times
    return mapping_onto(definition).model_validate({"clicks": clicks})


def read_mapping(source: Path | bytes, name: str | None = None) -> UciMapping:
    """The mapping in a TOML file, onto the clicks of shop uci553.

    Raises:
        MissingFileError: the file is not there.
        InputError: it is no such file; names the key, the value and what belongs there.
    """
    return _parsed(UciMapping, source, name)


def read_shop_mapping(
    source: Path | bytes, definition: ShopDefinition, name: str | None = None
) -> ColumnMapping:
    """The mapping in a TOML file, onto the clicks of any shop.

    Raises:
        MissingFileError, InputError: as `read_mapping`.
    """
    return _parsed(mapping_onto(definition), source, name)


def _parsed(kind: type[M], source: Path | bytes, name: str | None) -> M:
    name = name or (source.name if isinstance(source, Path) else "mapping")
    try:
        content = source if isinstance(source, bytes) else _read(source)
    except OSError as error:
        raise MissingFileError(f"{source!s} cannot be read: {error.strerror}", WHERE) from error
    if len(content) > _LARGEST:
        raise InputError(f"{name} is larger than {_LARGEST // 1024} KiB: no mapping is", WHERE)
    try:
        given = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text: {error}", WHERE) from error
    except ValueError as error:
        # A TOMLDecodeError, or what Python says of a number of thousands of digits.
        raise InputError(f"{name} is not TOML: {error}", WHERE) from error
    except RecursionError:
        raise InputError(f"{name} is nested too deeply", WHERE) from None
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise InputError("\n".join([f"{name} is not a mapping:", *problems_of(error)]), WHERE) from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST + 1)


def problems_of(error: ValidationError) -> list[str]:
    """What is wrong, a line a key: the value and what belongs there."""
    lines = []
    for problem in error.errors(include_url=False)[:10]:
        key = ".".join(map(str, problem["loc"])) or "the file"
        if problem["type"] == "extra_forbidden":
            lines.append(f"  {key}: there is no such key")
        elif problem["type"] == "missing":
            lines.append(f"  {key}: is needed")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"  {key}: {message} (got {_short(problem['input'])})")
    return lines


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
