"""Packed: what gz and zst hold, unpacked as it is read, and to its end or not at all."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import zstandard

from clickstream.files.source import GZIP, ZSTD
from clickstream.infra.errors import InputError, about, is_of_system

Packing = Literal["none", "gzip", "zstd"]

_REMEDY = "Was it copied to its end? Compare its size with that of the original."
_BLOCK = 1 << 20
# Little at once: few bytes can be unpacked to very many.
_PACKED_BLOCK = 2_048
_SKIPPABLE = b"\x2a\x4d\x18"


def packing_of(magic: bytes) -> Packing:
    """By the first four bytes of a file."""
    if magic.startswith(GZIP):
        return "gzip"
    # A frame that holds no text may come first.
    return "zstd" if magic == ZSTD or (magic[1:] == _SKIPPABLE and magic[0] >> 4 == 5) else "none"


def open_packed(path: Path, packing: Packing) -> BinaryIO:
    """A file to read, unpacked as it is read."""
    if packing == "gzip":
        return io.BufferedReader(gzip.open(path, "rb"))
    file = path.open("rb")
    if packing == "zstd":
        unpacked = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=True)
        return io.BufferedReader(unpacked)
    return file


class Blocks:
    """The text of a file, block by block.

    Attributes:
        is_padded: zeros stand behind what was packed by gz, at which DuckDB fails.
    """

    def __init__(self, path: Path, packing: Packing, name: str) -> None:
        self._path = path
        self._packing = packing
        self._name = name
        self.is_padded = False

    def __iter__(self) -> Iterator[bytes]:
        """Each once.

        Raises:
            InputError: it is damaged, or ends before what was packed does.
        """
        try:
            with about(self._path), self._path.open("rb") as file:
                if self._packing == "none":
                    while block := file.read(_BLOCK):
                        yield block
                else:
                    yield from self._gzip(file) if self._packing == "gzip" else self._zstd(file)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            if is_of_system(error):
                raise
            raise InputError(f"{self._name} is damaged or truncated: {error}", _REMEDY) from error

    def _gzip(self, file: BinaryIO) -> Iterator[bytes]:
        member = None
        while chunk := file.read(_BLOCK):
            while chunk:
                if member is None or member.eof:
                    padded = chunk
                    chunk = chunk.lstrip(b"\0") if member is not None else chunk
                    self.is_padded |= chunk != padded
                    if not chunk:
                        break
                    member = zlib.decompressobj(wbits=31)
                yield member.decompress(chunk, _BLOCK)
                chunk = member.unused_data if member.eof else member.unconsumed_tail
        if member is None or not member.eof:
            raise EOFError("it ends before the end of what was packed")

    def _zstd(self, file: BinaryIO) -> Iterator[bytes]:
        frame = None
        while chunk := file.read(_PACKED_BLOCK):
            while chunk:
                if frame is None or frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                yield frame.decompress(chunk)
                chunk = frame.unused_data if frame.eof else b""
        if frame is None or not frame.eof:
            raise EOFError("it ends before the end of what was packed")
