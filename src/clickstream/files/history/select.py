"""Select: a mapping in SQL, one SELECT over the log that yields the fields of clicks.

    /*
    [log]
    columns = ["visit", "at", "item"]    # of a file without a header
    [files]
    prices = "prices.csv"                # a table `prices`, from a file beside this one
    */
    SELECT visit AS session_id, ... FROM log LEFT JOIN prices USING (item)

It is text until DuckDB has parsed it, and is one SELECT or refused; it runs where no other file can be
opened, and nothing written.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import UCI553
from clickstream.files.history.engine import named, quoted
from clickstream.files.history.inputs import FILE, HEAD, LogFile, read_head, scan
from clickstream.files.history.tables import KeyPath, line_of, nothing_twice, text_of_bytes
from clickstream.files.mapping.spec import (
    Column,
    ColumnMapping,
    FileLayout,
    UciClickColumns,
    UciMapping,
    mapping_onto,
    problems_of,
)
from clickstream.files.text import advice
from clickstream.infra.errors import InputError, MissingFileError
from clickstream.infra.extras import need_history

if TYPE_CHECKING:
    import duckdb

WHERE = "docs/own-clicks.md, section A mapping in SQL, says what it may hold; examples/logs has six."

LONGEST_LINE_IN_SQL = 1 << 20
"""Characters: a session with its events may stand in one line."""

MAPPED = "_mapped"
"""The view of what the SELECT yields."""

LOG = "log"
"""The view of the log."""

_LARGEST = 1 << 20
_HEADER = re.compile(r"\s*/\*(.*?)\*/", re.DOTALL)
_PLACES = ("filename", "line")
_SAMPLED = 20
_SHOWN = 600
_LINE_END = re.compile("\r\n|\r|\n")
# Whole numbers and others: one that is made the other may lose digits.
_WHOLE = re.compile(r"\bU?(TINY|SMALL|BIG|HUGE)?INT(EGER)?\b")
_OTHERS = re.compile(r"\b(FLOAT|DOUBLE|DECIMAL)\b")


class LogLayout(FileLayout):
    """How the log is written; `columns`: their names in a CSV without a header."""

    columns: Annotated[list[str], Field(min_length=1, max_length=500)] | None = None


class FileBeside(LogLayout):
    """A further file, beside the mapping, and how it is written."""

    path: str

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, given: Any) -> Any:
        return {"path": given} if isinstance(given, str) else given


class _UciColumns(UciClickColumns):
    end: Column | None = None


class _UciMapping(UciMapping):
    """A mapping onto uci553 whose columns have ends, which a mapping in TOML finds by `rows`."""

    clicks: _UciColumns


class SelectMapping(BaseModel):
    """A mapping in SQL.

    Attributes:
        name: for messages.
        sql: the SELECT.
        folder: where its further files lie; None: it may have none.
        files: name of a table -> the file beside the mapping that it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sql: str
    folder: Path | None = None
    log: LogLayout = LogLayout()
    files: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")], FileBeside] = {}
    time_source: Annotated[str, Field(min_length=1, max_length=64)] = "recorded"

    @property
    def sha256(self) -> str:
        """Of what it says."""
        said = self.model_dump_json(exclude={"name", "folder"})
        return hashlib.sha256(said.encode()).hexdigest()

    def paths(self) -> dict[str, Path]:
        """Name of a table -> its file.

        Raises:
            MissingFileError: it is not there.
            InputError: it does not lie beside the mapping.
        """
        found = {}
        folder = self.folder.resolve() if self.folder else None
        for name, given in self.files.items():
            path = None if folder is None else (folder / given.path).resolve()
            if folder is None or path is None or not path.is_relative_to(folder):
                raise InputError(
                    f"{self.name}: files.{name} is {given.path!r}, which does not lie beside the mapping",
                    "Put it into the folder of the mapping: no other file is opened.",
                )
            if not path.is_file():
                raise MissingFileError(f"{self.name}: files.{name}: {path} is not there", WHERE)
            found[name] = path
        return found


def read_select(source: Path | bytes, name: str | None = None) -> SelectMapping:
    """The mapping in a file of SQL.

    Raises:
        MissingFileError: the file is not there.
        InputError: it is no such file, or more than one SELECT, or another statement.
        ConfigurationError: the extra `history` is not installed.
    """
    need_history("a mapping in SQL")
    name = name or (source.name if isinstance(source, Path) else "mapping")
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()[: _LARGEST + 1]
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise MissingFileError(f"{source!s} cannot be read: {error.strerror}", WHERE) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text: {error}", WHERE) from error
    if len(content) > _LARGEST:
        raise InputError(f"{name} is larger than {_LARGEST // 1024} KiB: no mapping is", WHERE)
    header = _HEADER.match(text)
    try:
        given = tomllib.loads(header[1]) if header else {}
        folder = source.parent if isinstance(source, Path) else None
        mapping = SelectMapping.model_validate(given | {"name": name, "sql": text, "folder": folder})
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: the comment that it begins with is not TOML: {error}", WHERE) from error
    except ValidationError as error:
        lines = problems_of(error)
        raise InputError("\n".join([f"{name} begins with no header:", *lines]), WHERE) from error
    _check_one_select(mapping)
    return mapping


def _check_one_select(mapping: SelectMapping) -> None:
    import duckdb

    with duckdb.connect() as parser:
        try:
            statements = parser.extract_statements(mapping.sql)
        except duckdb.Error as error:
            raise InputError(f"{mapping.name} is not SQL: {_said(error)}", WHERE) from error
    kinds = [str(one.type).rpartition(".")[2] for one in statements]
    if kinds != ["SELECT"]:
        raise InputError(
            f"{mapping.name} must be one SELECT; it is {', '.join(kinds) or 'nothing'}",
            "WITH ... SELECT is one; CREATE, COPY, SET, PIVOT without IN and the like are not. " + WHERE,
        )


def create_views(
    engine: duckdb.DuckDBPyConnection,
    mapping: SelectMapping,
    log: Sequence[LogFile],
    files: Mapping[str, LogFile],
) -> None:
    """The view `log`, one of each further file, and what the SELECT yields of them.

    Raises:
        InputError: it names what is not there, or cannot be run.
    """
    import duckdb

    for name, of_view in ((LOG, log), *((name, [file]) for name, file in files.items())):
        groups: dict[tuple[object, ...], list[LogFile]] = {}
        for file in of_view:
            groups.setdefault(file.layout, []).append(file)
        found = [(group[0].name, *_rows(engine, group)) for group in groups.values()]
        _check_types(engine, [(of, rows) for of, rows, _ in found])
        engine.execute(
            f"CREATE TEMP VIEW {named(name)} AS {' UNION ALL BY NAME '.join(rows for _, rows, _ in found)}"
        )
        if unread := [lines for _, _, lines in found if lines]:
            engine.execute(f"CREATE TEMP VIEW {unread_of(name)} AS {' UNION ALL '.join(unread)}")
    try:
        engine.execute(f"CREATE TEMP VIEW {MAPPED} AS {mapping.sql}")
    except duckdb.Error as error:
        if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
            raise
        raise InputError(f"{mapping.name}: {_said(error)}", WHERE) from error


def unread_of(name: str) -> str:
    """The view of the lines of JSON that are in no row of a view: `filename`, and `line`, the text."""
    return f"_unread_{name}"


def _rows(engine: duckdb.DuckDBPyConnection, files: Sequence[LogFile]) -> tuple[str, str]:
    """A SELECT of files of one layout, in which what is text in them is text, and one of the lines that are
    none of its rows; "" where there are no such lines.
    """
    one, source = files[0], scan(files)
    if one.format == "parquet":
        return _rows_of_parquet(engine, files), ""
    if one.format == "csv":
        names: list[str] = []
        for column in one.columns:
            names.append(column if column not in names else f"{column}_{len(names) + 1}")
        _check_names(one.name, names)
        taken = ", ".join(f"c{number} AS {named(name)}" for number, name in enumerate(names))
        return f"SELECT {taken}{_and_file(names)} FROM {source}", ""
    lines: list[str] = []
    for file in files[:_SAMPLED]:
        head = read_head(Path(file.path), file.packed, file.name).decode(errors="replace")
        lines += _LINE_END.split(head)[: -1 if len(head) >= HEAD else None]
    found = engine.execute(
        "SELECT json_group_structure(one) FROM (SELECT CASE WHEN json_valid(line) THEN CAST(line AS JSON) END"
        " AS one FROM (SELECT unnest($1) AS line)) WHERE json_type(one) = 'OBJECT'",
        [lines],
    ).fetchone()
    if found is None or found[0] is None:
        raise InputError(f"{one.name} begins with no JSON object", "Write one object a line.")
    structure = json.loads(found[0])
    _check_names_within(one.name, structure)
    shape = json.dumps(_as_text(structure), ensure_ascii=False)
    # What is asked of JSON fails on what is none.
    once = nothing_twice(_objects_in(structure))
    usable = f"CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' AND {once} ELSE false END"
    read = f"CASE WHEN {usable} THEN json_transform(line, {quoted(shape)}) END"
    filled = f"FROM {source} WHERE trim(line, chr(9) || ' ') <> ''"
    return (
        f"SELECT unnest({read}){_and_file(structure)} {filled} AND {usable}",
        f"SELECT {FILE} AS filename, line {filled} AND NOT {usable}",
    )


def _rows_of_parquet(engine: duckdb.DuckDBPyConnection, files: Sequence[LogFile]) -> str:
    source = scan(files)
    types = _types_of(engine, f"SELECT * EXCLUDE ({FILE}) FROM {source}")
    _check_names(files[0].name, list(types))
    texts = ""
    if any("BLOB" in kind and kind != "BLOB" for kind in types.values()):
        source = scan(files, bytes_are_text=True)
    elif of_bytes := [column for column, kind in types.items() if kind == "BLOB"]:
        replaced = ", ".join(f"{text_of_bytes(named(column))} AS {named(column)}" for column in of_bytes)
        texts = f" REPLACE ({replaced})"
    line = "" if "line" in map(str.lower, types) else f", {line_of(types)} AS line"
    return f"SELECT * EXCLUDE ({FILE}){texts}{_and_file(types)}{line} FROM {source}"


def _and_file(columns: Iterable[str]) -> str:
    """The path of the file as a further column, unless the log has one of this name."""
    return "" if "filename" in map(str.lower, columns) else f", {FILE} AS filename"


def _types_of(engine: duckdb.DuckDBPyConnection, selected: str) -> dict[str, str]:
    return {column: kind for column, kind, *_ in engine.execute(f"DESCRIBE {selected}").fetchall()}


def _check_names(name: str, columns: Iterable[str]) -> None:
    """Refuse columns of which SQL would take one for the other."""
    known: dict[str, str] = {}
    for column in columns:
        other = known.setdefault(column.lower(), column)
        if other != column:
            raise InputError(
                f"{name} has {other!r} and {column!r}, which SQL does not tell apart",
                "Rename one of them, or map it with TOML.",
            )


def _check_names_within(name: str, structure: Any) -> None:
    if isinstance(structure, dict):
        _check_names(name, structure)
    for inside in structure.values() if isinstance(structure, dict) else structure:
        if isinstance(inside, dict | list):
            _check_names_within(name, inside)


def _check_types(engine: duckdb.DuckDBPyConnection, selected: Sequence[tuple[str, str]]) -> None:
    """Refuse files of one table that SQL would bring to one type in which ids may lose digits."""
    if len(selected) < 2:
        return
    known: dict[str, tuple[str, str]] = {}
    for file, rows in selected:
        for column, kind in _types_of(engine, rows).items():
            other, before = known.setdefault(column.lower(), (file, kind))
            both = f"{before} {kind}"
            if before != kind and _WHOLE.search(both) and _OTHERS.search(both):
                raise InputError(
                    f"the column {column} is {before[:100]} in {other} and {kind[:100]} in {file}: as one"
                    " column numbers would lose digits",
                    "Write it with one type, or map it with TOML, which reads each file by its own.",
                )


def _objects_in(structure: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of all objects of a structure of JSON."""
    if isinstance(structure, dict):
        yield path
        for key, inside in structure.items():
            yield from _objects_in(inside, (*path, key))
    elif isinstance(structure, list):
        for inside in structure:
            yield from _objects_in(inside, (*path, None))


def _as_text(structure: Any) -> Any:
    """The structure of JSON with texts alone, which keep all digits, and what differs from line to line."""
    if isinstance(structure, dict):
        return {key: _as_text(value) for key, value in structure.items()}
    if isinstance(structure, list):
        return [_as_text(value) for value in structure]
    return "VARCHAR"


def mapping_of_view(
    engine: duckdb.DuckDBPyConnection, mapping: SelectMapping, definition: ShopDefinition
) -> tuple[ColumnMapping, str]:
    """The mapping of what the SELECT yields, by name, and SQL of the places of its rows.

    Raises:
        InputError: it lacks a field that a click needs, or yields what is none.
    """
    types = _types_of(engine, f"SELECT * FROM {MAPPED}")
    kind = _UciMapping if definition is UCI553.definition else mapping_onto(definition)
    clicks_of: Any = kind.model_fields["clicks"].annotation
    fields = clicks_of.model_fields
    yielded = [name for name in types if name.lower() not in _PLACES]
    missing = [name for name, field in fields.items() if field.is_required() and name not in types]
    unknown = [name for name in yielded if name not in fields]
    if missing or unknown:
        lacks = f"yields no column {', '.join(missing)}" if missing else ""
        has = f"yields {', '.join(unknown)[:200]}, which is no field of a click" if unknown else ""
        raise InputError(
            f"{mapping.name} {' and '.join(filter(None, (lacks, has)))}; its columns are"
            f" {', '.join(types)[:300]}",
            advice(missing, unknown or list(types))
            + f"Name each column as a field: {', '.join(fields)}; {' and '.join(_PLACES)} may stand beside"
            " them, and say where a row is from. " + WHERE,
        )
    clicks: dict[str, object] = {name: name for name in yielded}
    # A text is a time as ISO 8601 writes it; a number is ms, as on the topic.
    clicks["event_time"] = {
        "column": "event_time",
        "format": "iso" if types["event_time"] == "VARCHAR" else "ms",
    }
    by_name = kind.model_validate({"clicks": clicks, "time_source": mapping.time_source})
    lower = set(map(str.lower, types))
    places = [
        f"TRY_CAST({name} AS {of})" if name in lower else f"CAST(NULL AS {of})"
        for name, of in (("filename", "VARCHAR"), ("line", "BIGINT"))
    ]
    return by_name, f"{places[0]} AS filename, {places[1]} AS row"


def _said(error: Exception) -> str:
    """The message of DuckDB in one line."""
    return " ".join(str(error).split())[:_SHOWN]
