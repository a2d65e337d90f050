"""Folder: where a run writes its sessions, and what it must know to go on where another was ended.

`day=YYYY-MM-DD/sessions.parquet` is there whole or not at all. What is between, the clicks by bucket and the
sessions of each bucket, lies in `_work` until all days are written; without it they are made anew.
`_history.json` says of what the sessions are made, and that all are written: sessions of something else never
come to lie beside them.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from clickstream.features.shop import Shop
from clickstream.files.history import ClickBuckets, RefusedRows
from clickstream.files.history.buckets import Finishing
from clickstream.files.history.inputs import MANIFEST, check_stamp, stamp_of
from clickstream.files.history.select import read_select
from clickstream.files.history.stored import LogSource, StoredFile
from clickstream.infra.errors import InputError, RefusedError, UsageError, is_of_system
from clickstream.infra.files import replace_file, replacing
from clickstream.offline.writing import write_csv
from clickstream.windows.fingerprint import rule_differences

_WORK = "_work"
_CLICKS = "clicks/bucket=*/*.parquet"

REFUSED = "_refused.csv"
"""The file of the rows that could not be used, in a folder that is finished."""

MAKING = ".making"
"""Ending of a bucket that is being folded."""

PARTS = "parts"
"""How many files the sessions of a bucket have, in a file beside them."""


class SourceFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file of a log, as far as one can tell without reading it whether it is another one.

    Of one in a store `tag` changes with its content, and `path` is its URL.
    """

    path: str
    bytes: int
    changed_ns: int = 0
    tag: str = ""


class Source(msgspec.Struct, frozen=True):
    """What the sessions of a folder are made of.

    Attributes:
        mapping: SHA-256 of its file; empty where there is none.
        rules: text of `rules_text`.
        bundle: whose predictions they have; empty where they have none.
        buckets: that the sessions are divided into, which gives their order.
        with_clicks: whether they carry their clicks.
        finished: whether all of them are written.
    """

    files: tuple[SourceFile, ...]
    mapping: str
    rules: str
    bundle: str
    buckets: int
    with_clicks: bool = False
    finished: bool = False


def check_unchanged(source: Source) -> None:
    """Check that the files on this machine are those that a run began with.

    Raises:
        InputError: one is not.
    """
    for one in source.files:
        if not one.tag:
            check_stamp(Path(one.path), (one.path, one.bytes, one.changed_ns))


class _Partitioned(msgspec.Struct):
    """What is known of clicks that lie in buckets."""

    rows: int
    kept: int
    left_out: int
    refused: RefusedRows
    finishing: Finishing
    notes: tuple[str, ...]
    # Each file of clicks, as it is named within the folder, and its bytes.
    files: dict[str, int] = {}


def source_of(
    files: Sequence[LogSource],
    mapping: Path | None,
    rules: str,
    bundle: str,
    buckets: int,
    with_clicks: bool,
) -> Source:
    """The fingerprint of a run; the files that a mapping in SQL reads belong to it."""
    stamps = []
    beside = (
        [] if mapping is None or mapping.suffix.lower() != ".sql" else read_select(mapping).paths().values()
    )
    for one in [*files, *beside]:
        if isinstance(one, StoredFile):
            stamps.append(SourceFile(one.url, one.bytes, tag=one.tag))
            continue
        stamps.append(SourceFile(*stamp_of(one)))
    digest = "" if mapping is None else hashlib.sha256(mapping.read_bytes()).hexdigest()
    return Source(tuple(stamps), digest, rules, bundle, buckets, with_clicks)


class HistoryFolder:
    """The folder of one run; to be had from `open_folder`.

    Attributes:
        path: of the folder.
        made_of: what its sessions are made of.
        work: what is between.
        sessions: a folder for each bucket that is folded, in `work`.
    """

    def __init__(self, path: Path, made_of: Source) -> None:
        self.path = path
        self.made_of = made_of
        self.work = path / _WORK
        self.sessions = self.work / "sessions"
        self._partitioned = self.work / "partitioned.json"

    @property
    def is_finished(self) -> bool:
        """Whether all days are written."""
        return self.made_of.finished

    @property
    def holds_any(self) -> bool:
        """Whether anything was made: where a run ended sooner, the log or the mapping may be put right."""
        return self.is_finished or self._partitioned.exists() or bool(self.days())

    def days(self) -> list[Path]:
        """The files of the days that are written, in order."""
        return sorted(self.path.glob("day=*/sessions.parquet"))

    def day(self, day: str) -> Path:
        """The file of a day."""
        return self.path / f"day={day}" / "sessions.parquet"

    def bucket(self, number: int) -> Path:
        """The sessions of a bucket."""
        return self.sessions / f"{number:04}"

    def parts(self) -> list[Path]:
        """The files of all sessions, in order.

        Raises:
            InputError: one is not there any more.
        """
        found = []
        for bucket in sorted(self.sessions.iterdir()):
            parts = sorted(bucket.glob("*.arrow"))
            with undamaged(bucket, bucket):
                if not (bucket / PARTS).exists():
                    raise ValueError("how many files it had is not known any more")
                if len(parts) != (written := int((bucket / PARTS).read_text())):
                    raise ValueError(f"it holds {len(parts)} of {written} files")
            found += parts
        return found

    def note(self, clicks: ClickBuckets) -> None:
        """Note that the clicks lie in their buckets."""
        files = {str(one.relative_to(self.work)): one.stat().st_size for one in self.work.glob(_CLICKS)}
        found = _Partitioned(
            clicks.rows, clicks.kept, clicks.left_out, clicks.refused, clicks.finishing, clicks.notes, files
        )
        replace_file(self._partitioned, msgspec.json.encode(found, enc_hook=str))

    def clicks(self, shop: Shop, source: Source, memory_mib: int) -> ClickBuckets | None:
        """The clicks in their buckets; None where they do not all lie there yet.

        Raises:
            InputError: what is noted of them cannot be read, or a file that is still to be folded is another.
        """
        if not self._partitioned.exists():
            return None
        with undamaged(self._partitioned, self.work):
            known = msgspec.json.decode(
                self._partitioned.read_bytes(), type=_Partitioned, dec_hook=lambda _, text: Path(text)
            )
        for name, size in known.files.items():
            path = self.work / name
            if not self.bucket(int(path.parent.name.rpartition("=")[2])).exists():
                with undamaged(path, self.work):
                    _check_size(path, size)
        return ClickBuckets(
            shop.definition,
            self.work,
            memory_mib,
            source.buckets,
            known.rows,
            known.kept,
            known.left_out,
            known.refused,
            known.finishing,
            known.notes,
        )

    def discard_drafts(self) -> None:
        """Remove what a run that was killed had begun to write."""
        for draft in self.sessions.glob(f"*{MAKING}"):
            shutil.rmtree(draft)
        for draft in self.path.glob("day=*/.*"):
            draft.unlink()

    def finish(self, refused: RefusedRows) -> None:
        """Say that all days are written, and which rows are in none of them."""
        with replacing(self.path / REFUSED) as file:
            write_csv(["file", "line", "reason", "detail"], iter(refused.examples), file)
        self.made_of = msgspec.structs.replace(self.made_of, finished=True)
        self.declare()
        shutil.rmtree(self.work)

    def declare(self) -> None:
        """Say of what the sessions are made, and whether all are written."""
        replace_file(self.path / MANIFEST, msgspec.json.format(msgspec.json.encode(self.made_of)))


def _check_size(path: Path, size: int) -> None:
    if not path.exists():
        raise ValueError("it is not there any more")
    if (found := path.stat().st_size) != size:
        raise ValueError(f"it has {found:,} bytes, and had {size:,} when it was written")


@contextmanager
def undamaged(path: Path, remove: Path) -> Iterator[None]:
    """Read a file that a run wrote whole.

    Args:
        remove: what another run then makes again.

    Raises:
        InputError: it is not what was written.
    """
    try:
        yield
    except (pa.ArrowException, msgspec.MsgspecError, ValueError, OSError) as error:
        if is_of_system(error):
            raise
        raise InputError(
            f"{path} is damaged: {error}", f"Remove {remove} and run the command again: it makes that anew."
        ) from error


@contextmanager
def open_folder(path: Path, source: Source) -> Iterator[HistoryFolder]:
    """The folder for sessions of `source`, for this run alone.

    Raises:
        UsageError: another run works on it, or it holds something else.
        RefusedError: it holds sessions that are made of something else; says what differs.
    """
    path.mkdir(parents=True, exist_ok=True)
    manifest = path / MANIFEST
    with (path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{path}: another run works on it", "Wait for its end, or name another."
            ) from None
        before = HistoryFolder(path, _read(manifest)) if manifest.exists() else None
        if before is None:
            # What begins with a point is a draft of ours.
            others = [one.name for one in path.iterdir() if one.name != _WORK and one.name[0] != "."]
            if others:
                raise UsageError(
                    f"{path} holds {others[0]}, and no sessions of an earlier run", "Name an empty folder."
                )
        if before is not None and (before.holds_any or before.made_of == source):
            folder = before
            _check_same(path, folder.made_of, source)
            if folder.is_finished:
                shutil.rmtree(folder.work, ignore_errors=True)
            else:
                folder.work.mkdir(exist_ok=True)
        else:
            folder = HistoryFolder(path, source)
            # Of a run whose manifest somebody removed, nobody knows what it was made of.
            shutil.rmtree(folder.work, ignore_errors=True)
            folder.work.mkdir()
            folder.declare()
        yield folder


def holds_sessions(path: Path) -> bool:
    """Whether a folder is one that a run writes its sessions to."""
    return (path / MANIFEST).is_file()


def days_to_train_on(path: Path, rules: str) -> list[Path]:
    """The files of the days of a folder whose sessions carry their clicks.

    Args:
        rules: text of `rules_text` that the sessions must have been made by.

    Raises:
        RefusedError: they were made by other rules or of another shop, are not all written, or carry none.
        InputError: the folder cannot be read.
    """
    made_of = _read(path / MANIFEST)
    folder = HistoryFolder(path, made_of)
    if made_of.rules != rules:
        raise RefusedError(
            f"{path} holds sessions by other rules: {rule_differences(made_of.rules, rules)} here",
            "Give the shop and the settings that they were made with, or make them anew.",
        )
    if not folder.is_finished:
        raise RefusedError(
            f"{path}: not all sessions are written", "Let the command that writes them end, or run it again."
        )
    if not made_of.with_clicks:
        raise RefusedError(
            f"{path} holds sessions without their clicks, which training looks at one after the other",
            "Make them with `clickstream sessions --clicks`, or train on the logs themselves.",
        )
    return folder.days()


def _read(manifest: Path) -> Source:
    try:
        return msgspec.json.decode(manifest.read_bytes(), type=Source)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{manifest} cannot be read: {error}", "Name an empty folder.") from error


def _check_same(path: Path, before: Source, now: Source) -> None:
    differs: list[str] = []
    if before.rules != now.rules:
        differs.append(rule_differences(before.rules, now.rules))
    if before.bundle != now.bundle:
        differs.append(f"bundle was {before.bundle or 'none'} and is {now.bundle or 'none'}")
    if before.with_clicks != now.with_clicks:
        differs.append("--clicks was given" if before.with_clicks else "--clicks was not given")
    if before.mapping != now.mapping:
        differs.append("the mapping was another one")
    of_files = _differences({one.path: one for one in before.files}, {one.path: one for one in now.files})
    if differs or of_files:
        remedy = "Name an empty folder, or remove this one."
        if not of_files:
            remedy = "Name an empty folder, or run the command as it was run before."
        raise RefusedError(
            f"{path} holds sessions that are made of something else: {'; '.join([*differs, *of_files])}",
            remedy,
        )


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    changed = [path for path in before.keys() & now.keys() if before[path] != now[path]]
    told = []
    for word, paths in (
        ("is new", now.keys() - before.keys()),
        ("is gone", before.keys() - now.keys()),
        ("has changed", changed),
    ):
        if paths:
            more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
            told.append(f"{min(paths)}{more} {word}")
    return told
