"""Damage of what an embedded broker has on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


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
