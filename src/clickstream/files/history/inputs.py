"""Inputs: which files are meant, what each is, and those of one layout as one scan of DuckDB."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import glob, has_magic
from pathlib import Path
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from clickstream.files.history.engine import listed, quoted
from clickstream.files.mapping.spec import FileLayout
from clickstream.files.mapping.table import ENDINGS, format_of, header_of, refuse_array
from clickstream.files.source import GZIP, LONGEST_END, PARQUET, ZIP, ZSTD, check_directory, only_entry
from clickstream.files.text import LONGEST_LINE, encoding_of, head_of, named_columns, rows_of
from clickstream.infra.errors import ClickstreamError, InputError, MissingFileError
from clickstream.infra.objects import url_of

FILE = "_clickstream_file"
"""The column of the path of a file in what is scanned: a name that no log has."""

WHERE = "Give files, folders or patterns of CSV, JSON lines or Parquet; gz, zst and zip of text are read."

_HEAD = 1 << 20
_CHUNK = 1 << 20
_ENDINGS = (*ENDINGS, ".parquet")
_PACKED = ("", ".gz", ".zst", ".zip")

Format = Literal["csv", "jsonl", "parquet"]


@dataclass(frozen=True)
class LogFile:
    """A file of a log.

    Attributes:
        name: for messages.
        path: what is read: the file itself, or its text in UTF-8 where that is another one.
        columns: of a CSV, in its order; of Parquet with their types, sorted.
        skip: lines before the first row of a CSV.
        longest_line: in bytes; longer ones are refused.
    """

    name: str
    path: str
    format: Format
    packed: Literal["none", "gzip", "zstd"] = "none"
    delimiter: str = ""
    columns: tuple[str, ...] = ()
    width: int = 0
    skip: int = 0
    longest_line: int = LONGEST_LINE

    @property
    def layout(self) -> tuple[object, ...]:
        """What files must have in common to be read in one scan."""
        return (self.format, self.packed, self.delimiter, self.columns, self.width, self.skip)


def find_files(paths: Sequence[str | Path]) -> list[Path]:
    """The files that are meant: of a folder those below it that end like a log, of a pattern what fits.

    Raises:
        MissingFileError: one is not there, or nothing fits.
    """
    found: dict[Path, None] = {}
    for given in paths:
        path = Path(given)
        if (url := url_of(given)) is not None:
            raise MissingFileError(
                f"{url} lies in a store of objects",
                "`sessions`, `train`, `backfill` and `score --out FOLDER` read it there; for others copy it.",
            )
        if "://" in str(given):
            raise MissingFileError(f"{given} is not on this machine", "Copy it here first, or mount it.")
        if path.is_dir():
            inside = [one for one in sorted(path.rglob("*")) if one.is_file() and is_log(one.name)]
        elif path.is_file():
            inside = [path]
        elif has_magic(str(given)):
            inside = sorted(Path(one) for one in glob(str(given), recursive=True) if Path(one).is_file())
        else:
            raise MissingFileError(f"{given} is not there", WHERE)
        if not inside:
            raise MissingFileError(f"{given} holds no log", WHERE)
        found |= dict.fromkeys(inside)
    return list(found)


def is_log(name: str) -> bool:
    """Whether a file of this name, found in a folder, is one of a log."""
    name = name.lower()
    return not name.startswith((".", "_")) and any(
        name.endswith(f"{ending}{packed}") for ending in _ENDINGS for packed in _PACKED
    )


def describe(
    path: Path,
    layout: FileLayout,
    wanted: list[str],
    work: Path,
    columns: Sequence[str] | None = None,
    name: str | None = None,
) -> LogFile:
    """What a file is, by its first bytes.

    Args:
        layout: what the mapping says of it; columns of a CSV are found by the names `wanted`.
        columns: those of a CSV without a header.
        name: for messages, where it is not that of the path.
        work: where its text is put in UTF-8, if it is in another encoding, or in a zip.

    Raises:
        MissingFileError: it may not be read.
        InputError: it is no log.
    """
    name = name or path.name
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise MissingFileError(f"{path} cannot be read: {error.strerror}", WHERE) from error
    if magic == PARQUET:
        return LogFile(name, str(path), "parquet", columns=_typed_columns(path))
    if not magic:
        raise InputError(f"{name} is empty", WHERE)
    if magic.startswith(ZIP):
        path = _unzipped(path, work)
        magic = b""
    packed: Literal["none", "gzip", "zstd"] = "none"
    if magic.startswith(GZIP):
        packed = "gzip"
    elif magic == ZSTD:
        packed = "zstd"
    _check_whole(path, packed, name)
    head = read_head(path, packed, name)
    whole = len(head) < _HEAD
    # A character that the end of the head cuts in two is no fault of the file.
    encoding = encoding_of(name, head if whole else head[: head.rfind(b"\n") + 1 or None], layout.encoding)
    if encoding not in ("utf-8", "utf-8-sig", "ascii"):
        path, packed = _in_utf8(path, packed, encoding, work), "none"
        head = read_head(path, packed, name)
        encoding = "utf-8"
    kind = layout.format or format_of(head, encoding)
    if kind == "jsonl":
        refuse_array(name, head, encoding)
        return LogFile(name, str(path), "jsonl", packed)
    delimiter, header = header_of(name, head, encoding, layout, wanted)
    if columns is not None:
        return LogFile(name, str(path), "csv", packed, delimiter, tuple(columns), len(columns))
    first, _ = head_of(head, encoding)
    row = next(rows_of(iter([first]), delimiter), None)
    fields = row.fields if row else []
    return LogFile(
        name,
        str(path),
        "csv",
        packed,
        delimiter,
        tuple(header),
        max(len(fields), len(named_columns(fields)), 1),
        first.number,
    )


def scan(files: Sequence[LogFile], longest_line: int | None = None, bytes_are_text: bool = False) -> str:
    """The files, of one layout, as a table of DuckDB: columns `c0`, `c1` and so on of a CSV, `line` of JSON
    lines, its own of Parquet; and FILE. Rows that are none are put into `reject_errors`.

    Args:
        bytes_are_text: of Parquet; bytes that are none in UTF-8 then end the scan.
    """
    one, paths = files[0], listed(file.path for file in files)
    if one.format == "parquet":
        return (
            f"read_parquet({paths}, filename = {quoted(FILE)}, union_by_name = true,"
            f" binary_as_string = {str(bytes_are_text).lower()})"
        )
    names = ["line"] if one.format == "jsonl" else [f"c{number}" for number in range(one.width)]
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in names)
    # No line holds this, and where tabulators separate, a mark is one of the text.
    delimiter, quote = ("\x01\x02\x03\x04", "") if one.format == "jsonl" else (one.delimiter, '"')
    if delimiter == "\t":
        quote = ""
    return (
        f"read_csv({paths}, columns = {{{columns}}}, auto_detect = false, header = false, skip = {one.skip},"
        f" delim = {quoted(delimiter)}, quote = {quoted(quote)}, escape = {quoted(quote)},"
        f" compression = {quoted(one.packed)}, max_line_size = {longest_line or one.longest_line},"
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


def read_head(path: Path, packed: str, name: str) -> bytes:
    """The first megabyte of a file, unpacked.

    Raises:
        InputError: it is damaged.
    """
    try:
        with open_packed(path, packed) as file:
            head = file.read(_HEAD)
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise InputError(f"{name} is damaged or truncated: {error}", WHERE) from error
    if not head.strip():
        raise InputError(f"{name} is empty{' or truncated' if packed != 'none' else ''}", WHERE)
    return head


def _check_whole(path: Path, packed: str, name: str) -> None:
    """Refuse a packed file that ends too soon: DuckDB takes what there is for all of it."""
    try:
        if packed == "gzip":
            with gzip.open(path, "rb") as unpacked:
                while unpacked.read(_CHUNK):
                    pass
        elif packed == "zstd":
            frame = None
            with path.open("rb") as file:
                # Little at once: few bytes can be unpacked to very many.
                for chunk in iter(partial(file.read, 2_048), b""):
                    while chunk:
                        if frame is None or frame.eof:
                            frame = zstandard.ZstdDecompressor().decompressobj()
                        frame.decompress(chunk)
                        chunk = frame.unused_data if frame.eof else b""
            if frame is None or not frame.eof:
                raise EOFError("it ends before the end of what was packed")
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise InputError(f"{name} is damaged or truncated: {error}", WHERE) from error


def open_packed(path: Path, packed: str) -> BinaryIO:
    """A file to read, unpacked as it is read."""
    if packed == "gzip":
        return io.BufferedReader(gzip.open(path, "rb"))
    file = path.open("rb")
    if packed == "zstd":
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, closefd=True))
    return file


def _in_utf8(path: Path, packed: str, encoding: str, work: Path) -> Path:
    """The text of a file in UTF-8, of which DuckDB reads more than of any other."""
    target = copy_of(path, work)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with open_packed(path, packed) as file, target.open("w", encoding="utf-8", newline="") as written:
            for chunk in _chunks(file):
                written.write(decoder.decode(chunk))
            written.write(decoder.decode(b"", True))
    except UnicodeError as error:
        raise InputError(
            f"{path.name} is no text in {encoding} further on", "Say which it is in: file.encoding."
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
                raise InputError(f"{path.name} unpacks to more than the disk of {work} has room for", WHERE)
            with archive.open(entry) as file, target.open("wb") as written:
                shutil.copyfileobj(file, written, _CHUNK)
    except ClickstreamError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise InputError(f"{path.name} is a damaged or locked zip: {error}", WHERE) from error
    return target


def copy_of(path: Path, work: Path) -> Path:
    """Where a copy of the text of a file is put."""
    folder = work / "text"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}-{path.stem}"


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
