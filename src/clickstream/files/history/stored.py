"""Stored: files of a log that lie in an S3-compatible store, found by URL and copied here to be read.

DuckDB would need an extension for it, which is not part of its wheel, and a way out of its confinement. So
objects are copied into the folder of the work, each once, and are gone when their clicks lie in buckets.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import NamedTuple

from clickstream.files.history.inputs import READ_WHOLE, WHERE, find_files, is_hidden, is_log
from clickstream.infra.errors import InputError, MissingFileError, StorageError
from clickstream.infra.objects import ChangedMeanwhileError, ListedObject, ObjectFolder, url_of

_LONGEST_NAME = 100


class StoredFile(NamedTuple):
    """A file of a log in a store: `s3://bucket/key`, its size, and the tag that changes with its content."""

    url: str
    bytes: int
    tag: str


LogSource = Path | StoredFile
"""A file of a log, on this machine or in a store."""


def find_log(paths: Sequence[str | LogSource], patience_s: float) -> list[LogSource]:
    """The files that are meant: those here as of `find_files`, and those in stores by the same rules.

    Args:
        patience_s: longest wait for an answer of a store.

    Raises:
        MissingFileError: one is not there, or nothing fits.
        UnavailableError: a store does not answer.
        ConfigurationError: it refuses, or the extra `s3` is not installed.
    """
    found: dict[LogSource, LogSource] = {}
    for given in paths:
        inside: Sequence[LogSource]
        if isinstance(given, StoredFile):
            inside = [given]
        elif (url := url_of(given)) is not None:
            inside = _stored(url, patience_s)
        else:
            inside = find_files([given])
        for one in inside:
            found.setdefault(one.resolve() if isinstance(one, Path) else one, one)
    return list(found.values())


def _stored(url: str, patience_s: float) -> list[StoredFile]:
    bucket, _, path = url.removeprefix("s3://").partition("/")
    plain = re.split(r"[*?\[]", path, maxsplit=1)[0]
    pattern = path.split("/") if has_magic(path) else None
    folder = path if path.endswith("/") or not path else f"{path}/"
    found = []
    for one in ObjectFolder(f"s3://{bucket}", patience_s).listed(plain):
        is_meant = one.key == path or (
            _fits(one.key.split("/"), pattern)
            if pattern
            else one.key.startswith(folder)
            and not any(map(is_hidden, one.key.removeprefix(folder).split("/")))
            and is_log(one.key.rpartition("/")[2])
        )
        # A key that ends so is what some programs show a folder by.
        if is_meant and not one.key.endswith("/"):
            found.append(StoredFile(f"s3://{bucket}/{one.key}", one.bytes, one.tag))
    if not found:
        raise MissingFileError(f"{url} holds no log", WHERE)
    return found


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """As `glob` has it: `*` stays within a part, `**` is any number of them, a first point is written."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[first:], pattern[1:]) for first in range(len(parts) + 1))
    if not parts or parts[0][:1] == "." != pattern[0][:1]:
        return False
    return fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


@contextmanager
def at_hand(files: Sequence[LogSource], folder: Path, patience_s: float) -> Iterator[list[Path]]:
    """The files, on this machine: those of a store are copied into `folder`, and removed after the block.

    Where the block fails, or the process ends, they stay, and another run goes on from there.

    Raises:
        InputError: one was replaced or removed since it was found.
        StorageError: they take more room than there is.
        UnavailableError, ConfigurationError: as of `find_log`.
    """
    targets = {one: _target(one, folder) for one in files if isinstance(one, StoredFile)}
    _check_room(targets, folder)
    stores: dict[str, ObjectFolder] = {}
    for one, target in targets.items():
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        bucket, _, key = one.url.removeprefix("s3://").partition("/")
        if bucket not in stores:
            stores[bucket] = ObjectFolder(f"s3://{bucket}", patience_s)
        try:
            stores[bucket].fetch(ListedObject(key, one.bytes, one.tag), target)
        except ChangedMeanwhileError as error:
            raise InputError(
                f"{one.url} was replaced or removed while the log was read",
                READ_WHOLE,
            ) from error
    yield [targets[one] if isinstance(one, StoredFile) else one for one in files]
    shutil.rmtree(folder, ignore_errors=True)


def _target(one: StoredFile, folder: Path) -> Path:
    digest = hashlib.sha256(f"{one.url} {one.tag}".encode()).hexdigest()[:16]
    # Its name is shown beside rows that are refused; a key may hold what no file may be called.
    name = re.sub(r"[^\w.=-]", "_", one.url.rpartition("/")[2])[-_LONGEST_NAME:].lstrip(".")
    return folder / digest / (name or "object")


def _check_room(targets: dict[StoredFile, Path], folder: Path) -> None:
    left = sum(one.bytes for one, target in targets.items() if not target.exists())
    if not left:
        return
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if left > free:
        raise StorageError(
            f"{folder} has room for {free / 1e9:,.2f} GB; the log takes {left / 1e9:,.2f} GB",
            "Free some, name a folder on another disk, or give fewer days at once.",
        )
