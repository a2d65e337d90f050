"""The bytes of a file, an upload or a pipe, unpacked: of a gz, a zst or the one file in a zip.

Nothing is unpacked to disk, and never more than a bound into memory.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import zstandard

from clickstream.infra.errors import ClickstreamError, InputError, MissingFileError

WHERE = (
    "Get it from the UCI Machine Learning Repository: dataset 553, Clickstream data for online shopping"
    " (https://archive.ics.uci.edu/dataset/553)."
    " The zip is read as it is. Without it, synthetic clicks drawn to its statistics serve (--synthetic N)."
)
MAX_BYTES = 128 * 1024 * 1024
"""Of a file, and of what a zip unpacks to. UCI 553 has 7 MB."""

GZIP, ZSTD, ZIP, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK", b"PAR1"
"""How these files begin."""

_OTHERS = {
    PARQUET: "a Parquet file",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ\x00": "packed by xz",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"\xd0\xcf\x11\xe0": "a workbook of an old Excel",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
}
"""How files begin that are no text, and are often given."""

_NOTHING = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n\v\f"
"""Bytes of blanks and byte order marks, in any encoding: a file of nothing else is empty."""

# The directory of a zip with one file takes a few hundred bytes.
_LONGEST_DIRECTORY = 1 << 20
_END, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x07"
_END_SIZE, _LOCATOR_SIZE, _LONGEST_COMMENT = 22, 20, 65_535
LONGEST_END = _END_SIZE + _LONGEST_COMMENT + _LOCATOR_SIZE
"""Of a zip: what follows its directory."""
_ENCRYPTED = 1
_ZSTD_CHUNK = 2_048
_LARGEST_WINDOW = 1 << 27
"""Of a zst, held at once: as much as that of `zstd --long`."""

FileSource = Path | bytes | BinaryIO
"""A file by its path, its bytes, or an open one: an upload, standard input."""


def read_source(
    source: FileSource, name: str | None = None, endings: Sequence[str] = (".csv",), where: str = WHERE
) -> tuple[str, bytes]:
    """Name and content of the file, or of the one file in a zip that ends with one of `endings`.

    `name` is for messages; `where` says what to do where there is no such file, or nothing in it.

    Raises:
        MissingFileError: there is no such file, or it may not be read.
        InputError: it is empty, too large, or no zip with one such file.
    """
    name = name or _name(source)
    try:
        content = _content(source)
    except FileNotFoundError:
        raise MissingFileError(f"{source!s} is not there", where) from None
    except OSError as error:
        raise MissingFileError(f"{source!s} cannot be read: {error.strerror}", where) from error
    _check_size(name, content)
    if content[:2] == GZIP:
        name, content = name.removesuffix(".gz"), _gunzipped(name, content, where)
        _check_size(name, content)
    if content.startswith(ZSTD):
        name, content = name.removesuffix(".zst"), _unpacked_of_zstd(name, content, where)
        _check_size(name, content)
    if content.startswith(PARQUET) and ".parquet" in endings:
        return name, content
    for magic, what in _OTHERS.items():
        if content.startswith(magic):
            raise InputError(f"{name} is {what}", "Unpack or export it: text, zip, gz and zst are read.")
    if content[:2] == ZIP:
        name, content = _unzipped(name, content, endings, where)
        _check_size(name, content)
    if not content.strip(_NOTHING):
        raise InputError(f"{name} is empty", where)
    return name, content


def _name(source: FileSource) -> str:
    if isinstance(source, bytes):
        return "file"
    return Path(str(getattr(source, "name", "file"))).name


def _content(source: FileSource) -> bytes:
    # One byte more than allowed is enough to know.
    if isinstance(source, bytes):
        return source
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    return source.read(MAX_BYTES + 1)


def _check_size(name: str, content: bytes) -> None:
    if len(content) > MAX_BYTES:
        raise InputError(f"{name} is larger than {MAX_BYTES // 2**20} MiB", "Split it into several files.")


def _gunzipped(name: str, content: bytes, where: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            # As of a zip: never more than the bound.
            return file.read(MAX_BYTES + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{name} is a damaged or truncated gz: {error}", where) from error


def _unpacked_of_zstd(name: str, content: bytes, where: str) -> bytes:
    parts, size, frame = [], 0, None
    try:
        # Little at once: few bytes can be unpacked to very many.
        for start in range(0, len(content), _ZSTD_CHUNK):
            chunk = content[start : start + _ZSTD_CHUNK]
            while chunk and size <= MAX_BYTES:
                if frame is None or frame.eof:
                    frame = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj()
                parts.append(frame.decompress(chunk))
                size += len(parts[-1])
                chunk = frame.unused_data if frame.eof else b""
    except zstandard.ZstdError as error:
        raise InputError(f"{name} is a damaged or truncated zst: {error}", where) from error
    if size <= MAX_BYTES and (frame is None or not frame.eof):
        raise InputError(f"{name} is a truncated zst: it ends before the end of what was packed", where)
    return b"".join(parts)


def _unzipped(name: str, content: bytes, endings: Sequence[str], where: str) -> tuple[str, bytes]:
    check_directory(name, content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entry = only_entry(name, archive, endings, where)
            with archive.open(entry) as file:
                # A zip bomb is never unpacked further.
                return entry.filename, file.read(MAX_BYTES + 1)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise InputError(f"{name} is a damaged, truncated or locked zip: {error}", where) from error


def check_directory(name: str, content: bytes) -> None:
    """Refuse a zip, by its last bytes, with a directory of a million files, which would fill the memory
    before the first is read.
    """
    tail = content[-_END_SIZE - _LONGEST_COMMENT :]
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_SIZE:
        return  # No zip, which zipfile says better.
    (size,) = struct.unpack_from("<L", tail, at + 12)
    locator = tail[max(at - _LOCATOR_SIZE, 0) : at]
    if size > _LONGEST_DIRECTORY or locator.startswith(_LOCATOR_64):
        raise InputError(
            f"{name} must hold one file; its directory is that of very many, or very large ones",
            "Zip the one file alone.",
        )


def only_entry(name: str, archive: zipfile.ZipFile, endings: Sequence[str], where: str) -> zipfile.ZipInfo:
    """The one file of a zip that ends with one of `endings`.

    Raises:
        InputError: there is none, or more, or it is locked, or a path of the zip leads out of it.
    """
    entry = _only(name, archive.infolist(), endings, where)
    if entry.flag_bits & _ENCRYPTED:
        raise InputError(f"{name} is locked: {entry.filename} needs a password", "Unpack it first.")
    return entry


def _only(name: str, entries: list[zipfile.ZipInfo], endings: Sequence[str], where: str) -> zipfile.ZipInfo:
    # What a Mac adds to each file.
    files = [entry for entry in entries if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")]
    for entry in files:
        if _leads_out(entry.filename):
            raise InputError(
                f"{name} holds a file with a path outside: {entry.filename[:200]!r}",
                "Nothing of it was read. Zip the file again, without a path.",
            )
    if any(entry.filename == "xl/workbook.xml" for entry in files):
        raise InputError(f"{name} is an Excel workbook", "Save the sheet as CSV, and give that.")
    found = [entry for entry in files if entry.filename.lower().endswith(tuple(endings))]
    if len(found) == 1:
        return found[0]
    held = ", ".join(entry.filename[:100] for entry in (found or files)[:5]) or "nothing"
    problem: ClickstreamError = InputError(
        f"{name} must hold one {_kinds(endings)} file; it holds {held}",
        "A zip in a zip is not opened: unpack the outer one."
        if any(entry.filename.lower().endswith(".zip") for entry in files)
        else where,
    )
    raise problem


def _leads_out(path: str) -> bool:
    parts = path.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or ":" in parts[0]


def _kinds(endings: Sequence[str]) -> str:
    return " or ".join(ending.lstrip(".").upper() for ending in endings)
