"""Text: the lines of a file of unknown origin, in the encoding that it is in, each of bounded length.

By hand, as DuckDB does not find out an encoding, and does not say on which line a refused row stands.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import BinaryIO, NamedTuple

from clickstream.infra.errors import InputError

LONGEST_LINE = 65_536
"""Characters of a line; a click on the topic is no longer either."""

_CHUNK = 1 << 20
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PROBED = 400
_SHOWN = 200
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_NEVER_CLOSED = "a field longer than 131,072 characters: is a quotation mark never closed?"


class TextLine(NamedTuple):
    """A line, its number from 1, and what is wrong with it as a line, if anything."""

    number: int
    text: str
    problem: str | None


class TextRow(NamedTuple):
    """A row of a table. `line` is the last that it stands on, from 1, and `lines` how many these are; with a
    `problem`, `fields` holds no more than the beginning of its text.
    """

    line: int
    fields: list[str]
    problem: str | None
    lines: int = 1


def encoding_of(name: str, content: bytes, given: str | None = None) -> str:
    """The encoding of a text: the one given; or by its byte order mark, by its zero bytes, UTF-8 where it is
    valid, or else Windows-1252, which Western spreadsheets write.

    Raises:
        InputError: it is no text in the one given, or in any of these.
    """
    if given is not None:
        if _decodes(content, given):
            return given
        raise InputError(f"{name} is no text in {given}", "Correct file.encoding, or leave it out.")
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _valid(name, content, encoding)
    # Of the first line: a zero byte further down spoils one row, not the file.
    head = content[:_PROBED].partition(b"\n")[0]
    if b"\0" in head:
        # Letters of Western text have a zero for every other byte in UTF-16.
        for encoding, zeros, letters in (
            ("utf-16-le", head[1::2], head[::2]),
            ("utf-16-be", head[::2], head[1::2]),
        ):
            if zeros.count(0) > 0.9 * len(zeros) and letters.count(0) == 0:
                return _valid(name, content, encoding)
        raise InputError(f"{name} is binary, not a text file", "Give a CSV file, or a zip that holds one.")
    if _decodes(content, "utf-8"):
        return "utf-8"
    if _decodes(content, "windows-1252"):
        return "windows-1252"
    raise InputError(
        f"{name} is no text in UTF-8, UTF-16 or Windows-1252", "Save it as UTF-8: most programs offer that."
    )


def lines_of(
    content: bytes | BinaryIO, encoding: str, longest: int = LONGEST_LINE, errors: str = "strict"
) -> Iterator[TextLine]:
    """The lines; one longer than so many characters is cut and says so.

    Args:
        errors: what is done with bytes that are none of the encoding, as of `bytes.decode`.
    """
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    text = io.TextIOWrapper(file, encoding, errors, newline="")
    number = 0
    is_cut = False
    while line := text.readline(longest + 2):
        if is_cut and line == "\n":
            # Of the end of the line before.
            is_cut = False
            continue
        number += 1
        problem = "a NUL character" if "\0" in line else None
        if len(line.rstrip("\r\n")) > longest:
            problem = f"a line longer than {longest:,} characters"
            rest = line
            while rest and not rest.endswith(("\n", "\r")):
                rest = text.readline(_CHUNK)
            line = line[:longest]
            is_cut = rest.endswith("\r")
        else:
            is_cut = False
        yield TextLine(number, line, problem)


def plain_integer(text: str) -> int:
    """A whole number as people write it: Python alone reads `1_000` and digits of other scripts.

    Raises:
        ValueError: it is none.
    """
    if not _INTEGER.fullmatch(text.strip()):
        raise ValueError(text)
    return int(text)


def plain_number(text: str) -> float:
    """A number with a decimal point, as people write it.

    Raises:
        ValueError: it is none.
    """
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(text)
    return float(text)


def head_of(content: bytes, encoding: str) -> tuple[TextLine, str | None]:
    """The line that should name the columns, and the delimiter that a line `sep=;` before it announces."""
    lines = lines_of(content, encoding)
    first = next(lines)
    announced = _SEPARATOR.fullmatch(first.text)
    if announced is None:
        return first, None
    return next(lines, first), announced[1]


def below_head(content: bytes, encoding: str, delimiter: str) -> Iterator[TextRow]:
    """The rows under the names of the columns."""
    head, _ = head_of(content, encoding)
    return (row for row in rows_of(lines_of(content, encoding), delimiter) if row.line > head.number)


def width_problem(row: TextRow, width: int) -> str | None:
    """What is wrong with the number of fields in a row, if anything."""
    if len(row.fields) == width:
        return None
    problem = f"{len(row.fields)} fields where the header has {width}"
    if row.lines > 1:
        problem += f", over {row.lines} lines: is a quotation mark left open?"
    return problem


def without_empty_end(fields: list[str], width: int) -> list[str]:
    """The fields of a row without empty ones beyond the header, as spreadsheets add them."""
    if len(fields) > width and not any(field.strip() for field in fields[width:]):
        return fields[:width]
    return fields


def named_columns(fields: list[str]) -> list[str]:
    """The names of the columns in a header, without empty ones at its end."""
    columns = [field.strip() for field in fields]
    while columns and not columns[-1]:
        columns.pop()
    return columns


def looks_like_data(columns: list[str]) -> bool:
    """Whether a first line is no header: it holds numbers, which columns are not called."""
    return any(_NUMBER.fullmatch(column) for column in columns)


def advice(missing: Sequence[str], columns: list[str]) -> str:
    """What may be meant by columns that a header lacks: names that are near, or a file without a header."""
    if looks_like_data(columns):
        return "Its first line looks like data: add a line with the names of the columns before it. "
    near = {name: get_close_matches(name, columns, 1, 0.7) for name in missing}
    meant = [f"{found[0]!r} for {name!r}" for name, found in near.items() if found]
    return f"Is it {', '.join(meant)}? " if meant else ""


def rows_of(lines: Iterator[TextLine], delimiter: str) -> Iterator[TextRow]:
    """The rows of a CSV file, without blank ones. A row may stand on several lines, in quotation marks.
    Blanks before a field are none of it: as for DuckDB, there may be some before such a mark.

    Where tabulators separate, a row is a line: there a quotation mark is mostly one of the text.
    """
    if delimiter == "\t":
        yield from _rows_of_tabs(lines)
        return
    problems: list[tuple[str, str]] = []
    last = ""

    def texts() -> Iterator[str]:
        nonlocal last
        for line in lines:
            last = line.text[:_SHOWN].rstrip("\r\n")
            if line.problem is None:
                yield line.text
            else:
                # Half a line could open a quotation that takes the next ones with it.
                problems.append((line.problem, last))
                yield ""

    # Strict: what follows a closing quotation mark must be a delimiter, or one row would take in others.
    reader = csv.reader(texts(), delimiter=delimiter, strict=True, skipinitialspace=delimiter != " ")
    before = 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fields = []
            problems.append((_NEVER_CLOSED if "field limit" in str(error) else str(error), last))
        taken, before = reader.line_num - before, reader.line_num
        if problems:
            problem, text = problems[0]
            if taken > 1:
                problem += f", over {taken} lines: is a quotation mark left open?"
            yield TextRow(reader.line_num, [text], problem, taken)
            problems.clear()
        elif fields:
            yield TextRow(reader.line_num, fields, None, taken)


def _rows_of_tabs(lines: Iterator[TextLine]) -> Iterator[TextRow]:
    for line in lines:
        text = line.text.rstrip("\r\n")
        if line.problem is not None:
            yield TextRow(line.number, [text[:_SHOWN]], line.problem)
        elif text.strip():
            yield TextRow(line.number, [_unquoted(field) for field in text.split("\t")], None)


def _unquoted(field: str) -> str:
    quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return field[1:-1].replace('""', '"') if quoted else field


def _valid(name: str, content: bytes, encoding: str) -> str:
    if _decodes(content, encoding):
        return encoding
    raise InputError(
        f"{name} begins like {encoding.removesuffix('-sig').upper()} text and is none further on",
        "It is damaged, or two files were joined. Save it again as UTF-8.",
    )


def _decodes(content: bytes, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for start in range(0, len(content), _CHUNK):
            decoder.decode(content[start : start + _CHUNK])
        decoder.decode(b"", True)
    except UnicodeError:
        return False
    return True
