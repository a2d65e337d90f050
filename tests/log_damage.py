"""Damage of what an embedded broker has on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from crc32c import crc32c


def segment(topic: str, partition: int, folder: Path) -> Path:
    """The file, anywhere below `folder`, that the broker keeps a partition in."""
    found = list(folder.glob(f"**/{topic}-{partition}/*.log"))
    if not found:
        pytest.skip("needs the files of an embedded Kafka")
    return found[0]


def rot(file: Path) -> None:
    """Turn over a byte of the last batch, as a bad disk does; the broker hands it out as it is."""
    with file.open("r+b") as log:
        size = len(log.read().rstrip(b"\0"))
        log.seek(size - 4)
        byte = log.read(1)
        log.seek(size - 4)
        log.write(bytes([byte[0] ^ 0xFF]))
        log.flush()
        os.fsync(log.fileno())


def exchange(file: Path, old: bytes, new: bytes) -> None:
    """In a log of one batch, other bytes of the same number, under a checksum that fits: a sender's fault."""
    log = file.read_bytes()
    assert log.count(old) == 1
    changed = bytearray(log.replace(old, new))
    end = 12 + int.from_bytes(changed[8:12], "big")
    changed[17:21] = crc32c(bytes(changed[21:end])).to_bytes(4, "big")
    with file.open("r+b") as opened:
        opened.write(changed)
        opened.flush()
        os.fsync(opened.fileno())
