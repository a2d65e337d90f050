"""Tables: files of one layout as DuckDB sees them, and as the judge does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clickstream.files.history.engine import listed, named, quoted
from clickstream.files.history.inputs import FILE, LogFile, scan
from clickstream.files.history.plain import SPACES, Cell, Table
from clickstream.files.mapping.fields import ColumnGetter, in_object
from clickstream.files.mapping.spec import ColumnMapping
from clickstream.files.mapping.table import check_columns, columns_of, object_of
from clickstream.files.text import LONGEST_LINE, lines_of, rows_of, width_problem, without_empty_end
from clickstream.infra.errors import InputError

if TYPE_CHECKING:
    import duckdb


KeyPath = tuple[str | None, ...]
"""The keys that lead to a value of JSON; None: to each of a list."""

_AT_ONCE = 8_192
_LONG = f"{LONGEST_LINE:,} characters"
_ROW_NUMBER = "file_row_number"


def open_table(
    engine: duckdb.DuckDBPyConnection,
    files: Sequence[LogFile],
    mapping: ColumnMapping,
    may_lack: bool,
) -> Table:
    """The files, of one layout, as a table.

    Args:
        may_lack: columns that a click may lack may be absent.

    Raises:
        InputError: they lack a column that the mapping names.
    """
    match files[0].format:
        case "csv":
            return _csv(files, mapping, may_lack)
        case "jsonl":
            return _objects(files, mapping)
    source = scan(files)
    columns = [name for name, *_ in engine.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
    places = f"{FILE} AS filename, {line_of(columns)} AS row"
    return typed_table(engine, files[0].name, source, places, mapping, may_lack)


def line_of(columns: Iterable[str]) -> str:
    """SQL of the number of a row of Parquet, from 1; not known where a column has the name that it has."""
    return "CAST(NULL AS BIGINT)" if _ROW_NUMBER in map(str.lower, columns) else f"{_ROW_NUMBER} + 1"


def _csv(files: Sequence[LogFile], mapping: ColumnMapping, may_lack: bool) -> Table:
    name, columns = files[0].name, list(files[0].columns)
    if may_lack:
        mapping = present(mapping, columns)
    wanted = columns_of(mapping)
    check_columns(name, wanted, columns)
    cells = [f"c{columns.index(column)}" for column in wanted]
    if files[0].delimiter == "\t":
        cells = [_unquoted(cell) for cell in cells]
    texts = [f"NULLIF({_stripped(cell)}, '') AS t{n}" for n, cell in enumerate(cells)]
    return Table(
        mapping,
        f"SELECT {FILE} AS filename, NULL AS row, {', '.join(texts)}"
        f" FROM {scan(files)}{_but_blank(files[0])}",
        {column: Cell(f"t{n}") for n, column in enumerate(wanted)},
        "true",
        f"[{', '.join(f't{n}' for n in range(len(wanted)))}]",
        _without_nul,
        _in_list(wanted),
    )


def _but_blank(file: LogFile) -> str:
    """Where tabulators separate, a line of nothing else is blank."""
    if file.delimiter != "\t":
        return ""
    fields = ", ".join(f"c{place}" for place in range(file.width))
    return f" WHERE trim(concat({fields}), {quoted(SPACES)}) <> ''"


def _without_nul(values: list[str | None]) -> list[str | None] | str:
    return "a NUL character" if any(value and "\0" in value for value in values) else values


def _objects(files: Sequence[LogFile], mapping: ColumnMapping) -> Table:
    wanted = columns_of(mapping)
    # A name with a point is a key, or else the path to one.
    pointers = [_pointer([column]) for column in wanted] + [_pointer(column.split(".")) for column in wanted]
    once = nothing_twice(
        tuple(column.split(".")[:depth]) for column in wanted for depth in range(column.count(".") + 1)
    )
    listed_pointers = listed(pointers)
    cells, texts = {}, []
    for n, column in enumerate(wanted, 1):
        here = f"kinds[{n}]", f"texts[{n}]"
        path = f"kinds[{n + len(wanted)}]", f"texts[{n + len(wanted)}]"
        if "." in column:
            kind = f"coalesce({here[0]}, {path[0]})"
            text = f"CASE WHEN {here[0]} IS NULL THEN {path[1]} ELSE {here[1]} END"
        else:
            kind, text = here
        texts.append(f"{kind} AS k{n}, NULLIF({text}, '') AS t{n}")
        exact = f"(k{n} IS NULL OR k{n} IN ('VARCHAR', 'BIGINT', 'UBIGINT', 'BOOLEAN', 'NULL'))"
        # Of a fraction DuckDB keeps the value and not the text.
        number = f"(k{n} IS NULL OR k{n} IN ('VARCHAR', 'BIGINT', 'UBIGINT', 'DOUBLE', 'NULL'))"
        cells[column] = Cell(f"t{n}", exact, number)
    # What is asked of JSON fails on what is none.
    relation = (
        f"SELECT filename, NULL AS row, line, usable, {', '.join(texts)} FROM ("
        f"SELECT filename, line, CASE WHEN valid THEN json_type(line) = 'OBJECT' AND {once} END AS usable,"
        f" CASE WHEN valid THEN json_extract_string(line, {listed_pointers}) END AS texts,"
        f" CASE WHEN valid THEN json_type(line, {listed_pointers}) END AS kinds FROM ("
        f"SELECT {FILE} AS filename, line, json_valid(line) AS valid FROM {scan(files)}"
        " WHERE trim(line, chr(9) || ' ') <> ''))"
    )
    return Table(mapping, relation, cells, "usable", "[line]", _object, in_object)


def nothing_twice(objects: Iterable[KeyPath]) -> str:
    """SQL of whether none of these objects of a `line` of JSON has a key twice."""
    found = []
    for path in sorted(set(objects), key=str):
        if None not in path:
            keys = f"json_keys(line, {quoted(_pointer([one or '' for one in path]))})"
            found.append(f"coalesce(len({keys}) = len(list_distinct({keys})), true)")
        # DuckDB has no path to an empty key inside a list.
        elif "" not in path:
            keys = f"json_keys(line, {quoted(_path(path))})"
            twice = "lambda one: len(one) <> len(list_distinct(one))"
            found.append(f"coalesce(len(list_filter({keys}, {twice})) = 0, true)")
    return f"({' AND '.join(found)})"


def _object(values: list[str | None]) -> Any:
    return object_of_line(values[0] or "")


def object_of_line(line: str) -> dict[str, Any] | str:
    """The JSON object that a line is, or what is wrong with it."""
    text = line.strip()
    return "a NUL character" if "\0" in text else object_of(text)


def typed_table(
    engine: duckdb.DuckDBPyConnection,
    name: str,
    source: str,
    places: str,
    mapping: ColumnMapping,
    may_lack: bool,
) -> Table:
    """A relation whose columns have types, as a table.

    Args:
        source: SQL that can stand behind FROM.
        places: SQL of the file and the number of a row.

    Raises:
        InputError: it lacks a column that the mapping names, or that holds lists or objects.
    """
    types = {
        column: kind
        for column, kind, *_ in engine.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        if column != FILE
    }
    if may_lack:
        mapping = present(mapping, types)
    wanted = columns_of(mapping)
    origins = {column: _origin(column, types) for column in wanted}
    check_columns(name, wanted, list(dict.fromkeys([one for one in wanted if origins[one]] + list(types))))
    texts, cells = [], {}
    for n, column in enumerate(wanted):
        value = origins[column]
        kind = engine.execute(f"DESCRIBE SELECT {value} FROM {source}").fetchall()[0][1]
        if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION")):
            raise InputError(
                f"{name}: the column {column} is a {kind[:100]}, of which no field of a click can be made",
                "Take it apart with SQL: docs/own-clicks.md, section A mapping in SQL.",
            )
        # No line of a text is longer; of very few bytes Parquet makes a value of very many.
        texts.append(f"left({text_of(str(value), kind)}, {LONGEST_LINE}) AS t{n}")
        time = None
        if kind.startswith(("TIMESTAMP", "DATE")):
            texts.append(f"{value} AS at{n}")
            time = f"at{n}" if "TIME ZONE" in kind else f"TRY_CAST(at{n} AS TIMESTAMP)"
        cells[column] = Cell(f"t{n}", time=time, is_local="TIME ZONE" not in kind)
    event_time = mapping.clicks.event_time
    if cells[event_time.column].time is not None:
        # What the type says, the mapping cannot say better.
        iso = event_time.model_copy(update={"format": "iso"})
        mapping = mapping.model_copy(update={"clicks": mapping.clicks.model_copy(update={"event_time": iso})})
    return Table(
        mapping,
        f"SELECT {places}, {', '.join(texts)} FROM {source}",
        cells,
        "true",
        f"[{', '.join(f't{n}' for n in range(len(wanted)))}]",
        lambda values: values,
        _in_list(wanted),
    )


def _origin(column: str, types: Mapping[str, str]) -> str | None:
    """SQL of a column; "a.b" is b of the object a, where there is no column "a.b"."""
    if column in types:
        return named(column)
    first, *path = column.split(".")
    if not path or not types.get(first, "").startswith("STRUCT"):
        return None
    return ".".join(map(named, [first, *path]))


def text_of(value: str, kind: str) -> str:
    """SQL of a value that has a type as the text that the judge reads; NULL where it is empty."""
    if kind in ("FLOAT", "DOUBLE"):
        # Where a number is missing programs write whole ones as 7.0, and NaN where there is none.
        number = f"CAST({value} AS DOUBLE)"
        return (
            f"CASE WHEN isnan({number}) THEN NULL WHEN {number} = trunc({number}) AND abs({number}) < 1e15"
            f" THEN CAST(CAST({number} AS BIGINT) AS VARCHAR) ELSE CAST({number} AS VARCHAR) END"
        )
    if kind == "BLOB":
        return f"NULLIF({text_of_bytes(value)}, '')"
    # A time can lie beyond all that can be written.
    return f"NULLIF(TRY(CAST({value} AS VARCHAR)), '')"


def text_of_bytes(value: str) -> str:
    """SQL of bytes as the text that they are in UTF-8, as some programs write texts without saying so; a NUL,
    which no field may hold, where they are none.
    """
    return f"CASE WHEN {value} IS NOT NULL THEN coalesce(TRY(decode({value})), chr(0)) END"


def rejected(
    engine: duckdb.DuckDBPyConnection, files: Sequence[LogFile], longest: str = _LONG
) -> Iterator[tuple[str, int, str, str | None]]:
    """What DuckDB took for no row of these files: the file, where it begins there in bytes, the text, and
    what is wrong with it where that is known already.

    Args:
        longest: a line that is read, in words.
    """
    broken = {
        "INVALID ENCODING": "no text in UTF-8",
        "LINE SIZE OVER MAXIMUM": f"a line longer than {longest}",
    }
    paths = listed(file.path for file in files)
    found = engine.execute(
        "SELECT file_path, line_byte_position, list(error_type), any_value(csv_line) FROM reject_errors"
        f" JOIN reject_scans USING (scan_id, file_id) WHERE list_contains({paths}, file_path)"
        " GROUP BY file_path, line_byte_position"
    )
    while rows := found.fetchmany(_AT_ONCE):
        for file, start, problems, text in rows:
            problem = next((broken[one] for one in problems if one in broken), None)
            # Where lines end in two characters it takes the second for the beginning of the next.
            begun = text is not None and text.startswith("\n")
            yield file, start - 1 + begun, text[1:] if begun else text, problem


def by_hand(
    text: str, file: LogFile, wanted: list[str], problem: str | None = None
) -> Iterator[tuple[int, Any]]:
    """The rows of a piece of a text, each with its line, as the judge takes it, or what is wrong with it."""
    if problem is not None or file.format == "jsonl":
        yield 1, problem or _object([text])
        return
    width = len(file.columns)
    places = [file.columns.index(column) for column in wanted]
    for row in rows_of(lines_of(text.encode(), "utf-8", file.longest_line), file.delimiter):
        fields = without_empty_end(row.fields, width)
        wrong = row.problem or width_problem(row._replace(fields=fields), width)
        yield row.line, wrong or [fields[place].strip() for place in places]


def present(mapping: ColumnMapping, columns: Collection[str]) -> ColumnMapping:
    """A mapping by name without the fields whose columns are not there, where clicks may lack them."""
    clicks = mapping.clicks
    absent = {
        name: None
        for name, spec in clicks.targets.items()
        if spec.column not in columns and not type(clicks).model_fields[name].is_required()
    }
    return mapping.model_copy(update={"clicks": clicks.model_copy(update=absent)})


def _unquoted(text: str) -> str:
    """A field between tabulators without the quotation marks that stand around it."""
    inside = f"replace({text}[2:-2], '\"\"', '\"')"
    around = f"length({text}) > 1 AND {text}[1] = '\"' AND {text}[-1] = '\"'"
    return f"CASE WHEN {around} THEN {inside} ELSE {text} END"


def _stripped(text: str) -> str:
    """What Python's `strip` makes of a text; most have nothing to be stripped, which is known sooner."""
    bare = f"regexp_matches({text}, '^[!-~](.*[!-~])?$')"
    return f"CASE WHEN {bare} THEN {text} ELSE trim({text}, {quoted(SPACES)}) END"


def _in_list(columns: Sequence[str]) -> Callable[[str], ColumnGetter]:
    def fetch(column: str) -> ColumnGetter:
        place = columns.index(column)
        return lambda row: row[place] or ""

    return fetch


def _path(path: KeyPath) -> str:
    """A path of JSON as DuckDB has it."""
    keys = ("[*]" if one is None else '."' + one.replace('"', '\\"') + '"' for one in path)
    return "$" + "".join(keys)


def _pointer(path: Sequence[str]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
