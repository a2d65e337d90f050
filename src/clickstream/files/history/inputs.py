"""Inputs: which files are meant, what each is, and those of one layout as one scan of DuckDB."""

from __future__ import annotations

import codecs
import hashlib
import shutil
import zipfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from glob import glob, has_magic
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from clickstream.files.history.engine import listed, parquet, pattern_of, quoted
from clickstream.files.history.packed import Blocks, Packing, open_packed, packing_of
from clickstream.files.mapping.spec import FileLayout
from clickstream.files.mapping.table import ENDINGS, format_of, header_of, refuse_array
from clickstream.files.source import LONGEST_END, PARQUET, ZIP, check_directory, only_entry
from clickstream.files.text import LONGEST_LINE, encoding_of, head_of, named_columns, rows_of
from clickstream.infra.errors import (
    ClickstreamError,
    InputError,
    MissingFileError,
    StorageError,
    UsageError,
    about,
    is_of_system,
)
from clickstream.infra.objects import url_of
from clickstream.infra.words import counted

MANIFEST = "_history.json"
"""The file by which a folder of sessions is known."""

READ_WHOLE = "Read what is written to no more: whole days, or a copy."

FILE = "_clickstream_file"
"""The column of the path of a file in what is scanned: a name that no log has."""

WHERE = "Give files, folders or patterns of CSV, JSON lines or Parquet; gz, zst and zip of text are read."

MOST_BLANK = 1_000
"""Blank lines in a row that are read: for DuckDB they are part of the row after them."""

HEAD = 1 << 20
"""Bytes of a text by which it is known what it is."""

_CHUNK = 1 << 20
_SHOWN = 5
_ENDINGS = (*ENDINGS, ".parquet")
_PACKED = ("", ".gz", ".zst", ".zip")

Format = Literal["csv", "jsonl", "parquet"]


class EmptyFileError(InputError):
    """A file holds nothing, as that of an hour without clicks."""


class SpoiledRow(NamedTuple):
    """A row that is none: the last line of the file that it stands on, and why."""

    line: int
    problem: str


class SpoiledRows(NamedTuple):
    """Rows that are none: the first of them, and how many others there are by reason."""

    shown: tuple[SpoiledRow, ...] = ()
    others: tuple[tuple[str, int], ...] = ()


NONE_SPOILED = SpoiledRows()


@dataclass(frozen=True)
class LogFile:
    """A file of a log.

    Attributes:
        name: for messages.
        path: what is read: the file itself, or its text in UTF-8 where that is another one.
        columns: of a CSV, in its order; of Parquet with their types, sorted.
        skip: lines before the first row of a CSV.
        longest_line: in characters; longer ones are refused.
        longest_row: in bytes, where that is known; a row may stand on several lines.
        is_mended: rows that are none are not in the text at `path`.
        left_out: of blank lines: after which line there, and how many until then, in all.
        spoiled: rows that were taken out of the text.
    """

    name: str
    path: str
    format: Format
    packed: Packing = "none"
    delimiter: str = ""
    columns: tuple[str, ...] = ()
    width: int = 0
    skip: int = 0
    longest_line: int = LONGEST_LINE
    longest_row: int = 0
    is_mended: bool = False
    left_out: tuple[tuple[int, int], ...] = ()
    spoiled: SpoiledRows = NONE_SPOILED

    def line_of(self, line: int) -> int:
        """The line of the file that a line of the text at `path` is."""
        found = bisect_left(self.left_out, (line, 0))
        return line + (self.left_out[found - 1][1] if found else 0)

    @property
    def layout(self) -> tuple[object, ...]:
        """What files must have in common to be read in one scan."""
        return (self.format, self.packed, self.delimiter, self.columns, self.width, self.skip)


def find_files(paths: Sequence[str | Path]) -> list[Path]:
    """The files that are meant: of a folder those below it that end like a log, of a pattern what fits. A
    file of several names is one.

    Raises:
        MissingFileError: one is not there, may not be seen, or nothing fits.
        UsageError: one is a pipe.
    """
    found: dict[Path, Path] = {}
    for given in paths:
        path = Path(given)
        if (url := url_of(given)) is not None:
            raise MissingFileError(
                f"{url} lies in a store of objects",
                "`sessions`, `train`, `backfill` and `score --out FOLDER` read it there; for others copy it.",
            )
        if "://" in str(given):
            raise MissingFileError(f"{given} is not on this machine", "Copy it here first, or mount it.")
        if str(given) == "-" or (path.exists() and not (path.is_dir() or path.is_file())):
            name = "standard input" if str(given) == "-" else given
            raise UsageError(
                f"{name} can be read once, and a log of any size is looked through before it is read",
                "Write it to a file and name that: … > log.csv",
            )
        if path.is_dir():
            inside = [one for one in _files_below(path) if is_log(one.name)]
        elif path.is_file():
            inside = [path]
        elif has_magic(str(given)):
            inside = [one for one in map(Path, sorted(glob(str(given), recursive=True))) if one.is_file()]
            if "**" in str(given):
                inside = [one for one in inside if not any((up / MANIFEST).exists() for up in one.parents)]
        else:
            raise MissingFileError(f"{given} is not there", WHERE)
        if not inside:
            raise MissingFileError(f"{given} holds no log", WHERE)
        for one in inside:
            found.setdefault(one.resolve(), one)
    return list(found.values())


def other_files(paths: Sequence[str | Path]) -> list[str]:
    """Sentences about files in these folders that do not end like a log."""
    others = {
        one.resolve(): one.name
        for path in map(Path, paths)
        if path.is_dir()
        for one in _files_below(path)
        if not is_log(one.name)
    }
    names = [name for _, name in sorted(others.items()) if not is_hidden(name)]
    if not names:
        return []
    return [f"{counted(len(names), 'file')} in folders not read, being named like no log: {first_of(names)}"]


def first_of(names: Sequence[str]) -> str:
    """The first of these names."""
    return ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])


def _files_below(folder: Path) -> Iterator[Path]:
    """The files below a folder, in order, but for folders of sessions and those whose names begin with `_` or
    a point, as programs call what is in the making.

    Raises:
        MissingFileError: one may not be seen, or is a link to what is not there.
    """
    try:
        inside = sorted(folder.iterdir())
        for one in inside:
            if one.is_dir():
                # A link may lead back to where it stands.
                if one.is_symlink() or is_hidden(one.name) or (one / MANIFEST).exists():
                    continue
                yield from _files_below(one)
            elif one.is_file():
                yield one
            elif one.is_symlink() and is_log(one.name):
                raise MissingFileError(f"{one} is a link to what is not there", WHERE)
    except OSError as error:
        raise MissingFileError(f"{error.filename} cannot be read: {error.strerror}", WHERE) from error


@contextmanager
def unchanged(files: Sequence[Path]) -> Iterator[None]:
    """Read files that nobody else writes to.

    Raises:
        InputError: one is another one after the block, or where this could not read it.
    """
    before = [(path, stamp_of(path)) for path in files]
    try:
        yield
    except InputError:
        # What cannot be read of a file that grows is not what is wrong with it.
        _check_stamps(before)
        raise
    _check_stamps(before)


def _check_stamps(known: Sequence[tuple[Path, tuple[str, int, int]]]) -> None:
    for path, stamp in known:
        check_stamp(path, stamp)


def stamp_of(path: Path) -> tuple[str, int, int]:
    """By what it is seen that a file is another one: where it lies, its size, and when it was changed."""
    found = path.stat()
    return str(path.resolve()), found.st_size, found.st_mtime_ns


def check_stamp(path: Path, stamp: tuple[str, int, int]) -> None:
    """Check that a file is the one that had this stamp.

    Raises:
        InputError: it is another one, or gone.
    """
    try:
        is_same = stamp_of(path) == stamp
    except OSError:
        is_same = False
    if not is_same:
        raise InputError(f"{path} changed while it was read", READ_WHOLE)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is called as programs call what is in the making, or about others."""
    return name.startswith((".", "_"))


def is_log(name: str) -> bool:
    """Whether a file of this name, found in a folder, is one of a log."""
    name = name.lower()
    return not is_hidden(name) and any(
        name.endswith(f"{ending}{packed}") for ending in _ENDINGS for packed in _PACKED
    )


def describe(
    path: Path,
    layout: FileLayout,
    wanted: list[str],
    work: Path,
    columns: Sequence[str] | None = None,
    name: str | None = None,
    longest_line: int = LONGEST_LINE,
) -> LogFile:
    """What a file is, by its first bytes. Whether all of it can be read is for `sound_text` to say.

    Args:
        layout: what the mapping says of it; columns of a CSV are found by the names `wanted`.
        columns: those of a CSV without a header.
        name: for messages, where it is not that of the path.
        work: where its text is put in UTF-8, if it is in another encoding, or in a zip.
        longest_line: in characters.

    Raises:
        MissingFileError: it may not be read.
        EmptyFileError: it holds nothing.
        InputError: it is no log.
    """
    name = name or path.name
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise MissingFileError(f"{path} cannot be read: {error.strerror}", WHERE) from error
    if magic == PARQUET:
        return LogFile(name, str(path.resolve()), "parquet", columns=_typed_columns(path))
    if not magic:
        raise EmptyFileError(f"{name} is empty", WHERE)
    if magic.startswith(ZIP):
        path = _unzipped(path, work)
        magic = b""
    packed = packing_of(magic)
    head = read_head(path, packed, name)
    whole = len(head) < HEAD
    # A character that the end of the head cuts in two is no fault of the file.
    encoding = encoding_of(name, head if whole else head[: head.rfind(b"\n") + 1 or None], layout.encoding)
    if encoding not in ("utf-8", "utf-8-sig", "ascii"):
        path, packed = _in_utf8(path, packed, name, encoding, work), packing_of(b"")
        head = read_head(path, packed, name)
        encoding = "utf-8"
    kind = layout.format or format_of(head, encoding)
    if kind == "jsonl":
        refuse_array(name, head, encoding)
        return LogFile(name, str(path.resolve()), "jsonl", packed, longest_line=longest_line)
    delimiter, header = header_of(name, head, encoding, layout, wanted)
    if columns is not None:
        skip, width = 0, len(columns)
    else:
        first, _ = head_of(head, encoding)
        row = next(rows_of(iter([first]), delimiter), None)
        fields = row.fields if row else []
        columns, skip, width = header, first.number, max(len(fields), len(named_columns(fields)), 1)
    return LogFile(
        name,
        str(path.resolve()),
        "csv",
        packed,
        delimiter,
        tuple(columns),
        width,
        skip,
        longest_line,
    )


def scan(files: Sequence[LogFile], bytes_are_text: bool = False) -> str:
    """The files, of one layout, as a table of DuckDB: columns `c0`, `c1` and so on of a CSV, `line` of JSON
    lines, its own of Parquet; and FILE. Rows that are none are put into `reject_errors`.

    Args:
        bytes_are_text: of Parquet; bytes that are none in UTF-8 then end the scan.
    """
    one, paths = files[0], [file.path for file in files]
    if one.format == "parquet":
        return parquet(
            paths,
            f"filename = {quoted(FILE)}",
            "union_by_name = true",
            f"binary_as_string = {str(bytes_are_text).lower()}",
        )
    names = ["line"] if one.format == "jsonl" else [f"c{number}" for number in range(one.width)]
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in names)
    # No line holds this, and where tabulators separate, a mark is one of the text.
    delimiter, quote = ("\x01\x02\x03\x04", "") if one.format == "jsonl" else (one.delimiter, '"')
    if delimiter == "\t":
        quote = ""
    # Who begins to read within quotation marks takes lines of what stands in them for rows.
    parallel = "false" if quote else "true"
    ends = 2 * (MOST_BLANK + 1)
    longest = max(max(file.longest_row, file.longest_line) for file in files) + ends
    return (
        f"read_csv({listed(map(pattern_of, paths))}, columns = {{{columns}}}, hive_partitioning = false,"
        f" auto_detect = false, header = false, skip = {one.skip}, parallel = {parallel},"
        f" delim = {quoted(delimiter)}, quote = {quoted(quote)}, escape = {quoted(quote)},"
        f" compression = {quoted(one.packed)}, max_line_size = {longest},"
        f" ignore_errors = true, store_rejects = true, rejects_limit = 0, filename = {quoted(FILE)})"
    )


def _typed_columns(path: Path) -> tuple[str, ...]:
    """The columns of a Parquet file; none of one that is damaged, of which DuckDB says what is wrong."""
    try:
        schema = pq.ParquetFile(path).schema
    except (OSError, pa.ArrowException):
        return ()
    columns = (schema.column(place) for place in range(len(schema.names)))
    return tuple(sorted(f"{one.path} {one.physical_type} {one.logical_type}" for one in columns))


def read_head(path: Path, packed: Packing, name: str) -> bytes:
    """The first megabyte of a file, unpacked.

    Raises:
        EmptyFileError: it holds nothing.
        InputError: it is damaged.
    """
    try:
        with about(path), open_packed(path, packed) as file:
            head = file.read(HEAD)
    except (OSError, EOFError, zstandard.ZstdError) as error:
        if is_of_system(error):
            raise
        raise InputError(f"{name} is damaged or truncated: {error}", WHERE) from error
    if len(head) < HEAD and not head.strip():
        for _ in Blocks(path, packed, name):
            pass
        raise EmptyFileError(f"{name} is empty", WHERE)
    if not head.strip():
        raise InputError(f"{name} begins with {HEAD:,} bytes of blank lines", WHERE)
    return head


def in_utf8(file: LogFile, encoding: str, work: Path) -> LogFile:
    """A file whose text is put into UTF-8, of which DuckDB reads more than of any other.

    Raises:
        InputError: it is no text in this encoding.
    """
    return replace(
        file, path=str(_in_utf8(Path(file.path), file.packed, file.name, encoding, work)), packed="none"
    )


def _in_utf8(path: Path, packed: Packing, name: str, encoding: str, work: Path) -> Path:
    """The text of a file in UTF-8, of which DuckDB reads more than of any other."""
    target = copy_of(path, work)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with target.open("w", encoding="utf-8", newline="") as written:
            for chunk in Blocks(path, packed, name):
                written.write(decoder.decode(chunk))
            written.write(decoder.decode(b"", True))
    except UnicodeError as error:
        raise InputError(
            f"{name} is no text in {encoding} further on", "Say which it is in: file.encoding."
        ) from error
    return target


def _unzipped(path: Path, work: Path) -> Path:
    target = copy_of(path, work)
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - LONGEST_END, 0))
        check_directory(path.name, file.read())
    try:
        with zipfile.ZipFile(path) as archive:
            entry = only_entry(path.name, archive, ENDINGS, WHERE)
            if entry.file_size > shutil.disk_usage(target.parent).free:
                raise StorageError(
                    f"{path.name} unpacks to more than the disk of {work} has room for",
                    "Free some, or name a folder on another disk.",
                )
            with about(target), archive.open(entry) as file, target.open("wb") as written:
                shutil.copyfileobj(file, written, _CHUNK)
    except ClickstreamError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        if is_of_system(error):
            raise
        raise InputError(f"{path.name} is a damaged or locked zip: {error}", WHERE) from error
    return target


def copy_of(path: Path, work: Path) -> Path:
    """Where a copy of the text of a file is put."""
    folder = work / "text"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}-{path.stem}"
