"""Who put which bundle in use, when, and why: `promotions.jsonl` in the folder of a shop's bundles.

A line is added with each promotion and each way back, by whatever command or page, and none is ever changed.
The file `champion` alone says what is in use.
"""

from __future__ import annotations

import datetime
import getpass
import json
import os
from pathlib import Path
from typing import Literal, NamedTuple

from clickstream.infra.errors import BundleError

RECORD = "promotions.jsonl"

_READ_BACK = 1 << 20
_LONGEST = 500

Step = Literal["promote", "roll back"]


class Author(NamedTuple):
    """Who promotes: a name, by what, and the reason if one was given.

    `through` is `command`, `training`, `dashboard`, or `dashboard, logged in`, where a login gave the name.
    """

    name: str
    through: str
    reason: str = ""


class RecordedPromotion(NamedTuple):
    """One line of the record. `before`: the bundle that was in use until then, None where there was none."""

    at: datetime.datetime
    step: Step
    bundle_id: str
    before: str | None
    author: Author


def system_user(through: str = "command", reason: str = "") -> Author:
    """The user that this process runs as."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):
        # In a container a number may have no name.
        name = f"uid {os.getuid()}"
    return Author(name, through, reason)


def record(folder: Path, promotion: RecordedPromotion) -> bytes:
    """Add a line, and have it on the disk. Returns the line, with its end.

    Raises:
        BundleError: the folder cannot be written.
    """
    author = promotion.author
    said = {
        "at": promotion.at.isoformat(),
        "step": promotion.step,
        "bundle": promotion.bundle_id,
        "before": promotion.before,
        "by": author.name[:_LONGEST],
        "through": author.through,
        "reason": author.reason[:_LONGEST],
    }
    line = json.dumps(said).encode() + b"\n"
    file = folder / RECORD
    try:
        with file.open("ab+") as opened:
            end = opened.tell()
            if end:
                opened.seek(end - 1)
                # What a crash cut off stays a line of its own.
                if opened.read(1) != b"\n":
                    opened.write(b"\n")
            opened.write(line)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise BundleError(
            f"{promotion.bundle_id} is in use, but {file} cannot be written: {error.strerror or error}",
            "Let this user write there, so that the next promotion is recorded.",
        ) from error
    return line


def recorded(folder: Path, most: int = 100) -> list[RecordedPromotion]:
    """The last promotions, the latest first; lines that are none are passed over.

    Raises:
        BundleError: the file cannot be read.
    """
    file = folder / RECORD
    try:
        with file.open("rb") as opened:
            opened.seek(max(opened.seek(0, os.SEEK_END) - _READ_BACK, 0))
            lines = opened.read(_READ_BACK).splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BundleError(
            f"{file} cannot be read: {error.strerror or error}", "It says who promoted what; see its rights."
        ) from error
    found = [one for one in map(_parsed, reversed(lines)) if one is not None]
    return found[:most]


def _parsed(line: bytes) -> RecordedPromotion | None:
    try:
        said = json.loads(line)
        return RecordedPromotion(
            datetime.datetime.fromisoformat(said["at"]),
            said["step"],
            str(said["bundle"]),
            None if said["before"] is None else str(said["before"]),
            Author(str(said["by"]), str(said["through"]), str(said["reason"])),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
