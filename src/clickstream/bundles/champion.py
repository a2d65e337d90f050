"""Which bundle is in use: the file `champion` in the folder of bundles.

Its first line is the bundle in use, each later line the one that was in use before: an id, a blank, the
time of its promotion. One file holds both, so a promotion or a way back is one atomic step, and a reader
needs no lock.
"""

from __future__ import annotations

import datetime
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from clickstream.bundles.manifest import BUNDLE_ID, MANIFEST
from clickstream.bundles.promotion_record import Author, RecordedPromotion, Step, record, system_user
from clickstream.features.shop_file import UCI553_NAME
from clickstream.infra.errors import BundleError
from clickstream.infra.files import replace_file

CHAMPION = "champion"

MOST_KEPT = 100
"""Promotions that can be taken back."""

MOST_BYTES_OF_CHAMPION = 100_000

_SHOPS = "shops"

_ANY = "Choose one with `clickstream models promote ID`."


class SharedBundles(Protocol):
    """Where other machines find the bundles and which one is in use: `bundles/store.py`."""

    def bring_history(self) -> bool:
        """Have the files about promotions in the folder as they are there; whether one is in use there."""

    def publish(self, bundle_id: str) -> None:
        """Have a bundle of the folder there."""

    def put_in_use(self, champion: bytes) -> None:
        """Replace the file `champion` that was brought; BundleError where it is another by now."""

    def add_to_record(self, line: bytes) -> None:
        """Add a line to the record of promotions."""


class Promotion(NamedTuple):
    """A bundle that is or was in use, and since when; None where it was not noted."""

    bundle_id: str
    at: datetime.datetime | None


def bundles_of(folder: Path, shop: str) -> Path:
    """The folder of the bundles of a shop, each of which has its own that is in use.

    Args:
        folder: that of all bundles; those of uci553 lie in it itself.
    """
    return folder if shop == UCI553_NAME else folder / _SHOPS / shop


def bundle_ids(folder: Path) -> list[str]:
    """The bundles in `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(
        path.name
        for path in folder.iterdir()
        if BUNDLE_ID.fullmatch(path.name) and (path / MANIFEST).is_file()
    )


def champion(folder: Path) -> str:
    """Id of the bundle in use.

    Raises:
        BundleError: none was promoted, or the file holds something else.
    """
    return promotions(folder)[0].bundle_id


def promotions(folder: Path) -> list[Promotion]:
    """The bundle in use, and those before it that rollbacks lead back to, the latest first.

    Raises:
        BundleError: none was promoted, or the file holds something else.
    """
    file = folder / CHAMPION
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES_OF_CHAMPION)
    except FileNotFoundError:
        option = f" --shop {folder.name}" if folder.parent.name == _SHOPS else ""
        raise BundleError(
            f"no bundle is in use in {folder}",
            f"Run `clickstream train{option}`, or name a bundle with --bundle.",
        ) from None
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error}", _choices(folder)) from error
    try:
        return parse_promotions(content, str(file))
    except BundleError as error:
        raise BundleError(error.what, _choices(folder)) from error


def parse_promotions(content: bytes, where: str) -> list[Promotion]:
    """What a file `champion` says, the bundle in use first.

    Raises:
        BundleError: it holds something else.
    """
    try:
        current, *earlier = content.decode().splitlines() or [""]
    except UnicodeDecodeError as error:
        raise BundleError(f"{where} cannot be read: {error}", _ANY) from error
    found = _promotion(current)
    if found is None:
        raise BundleError(f"{where} holds {current[:80]!r}, which is no bundle id", _ANY)
    return [found, *filter(None, map(_promotion, earlier))]


def promote(
    folder: Path,
    bundle_id: str,
    instead_of: str | None = None,
    author: Author | None = None,
    store: SharedBundles | None = None,
) -> None:
    """Make a bundle the one in use, in one atomic step, and record who did. It is not verified here.

    Args:
        instead_of: the bundle that the caller found to be in use, and decided by.
        author: who promotes; by default the user that this process runs as.
        store: where it is to be in use for other machines, too; the bundle is written there first.

    Raises:
        BundleError: there is no such bundle in `folder`, or another than `instead_of` is in use by now; or
            it is in use, and that could not be recorded.
        UnavailableError, ConfigurationError: the store does not answer, or refuses.
    """
    if bundle_id not in bundle_ids(folder):
        raise BundleError(f"there is no bundle {bundle_id!r} in {folder}", _choices(folder))
    with _alone(folder, store) as shared:
        try:
            before = promotions(folder)
        except BundleError:
            # None was promoted yet, or the file is damaged: then there is no history to keep.
            before = []
        if instead_of is not None and (not before or before[0].bundle_id != instead_of):
            raise BundleError(
                f"{before[0].bundle_id if before else 'no bundle'} is in use now, no longer {instead_of}",
                f"Compare with that one, then `clickstream models promote {bundle_id}`.",
            )
        used = bool(before) and before[0].bundle_id == bundle_id
        if not used or not shared:
            if store is not None:
                store.publish(bundle_id)
            history = [_from_now(bundle_id), *before[used:]]
            _put_in_use(folder, "promote", history, before, author, store)


def promote_first(
    folder: Path, bundle_id: str, author: Author | None = None, store: SharedBundles | None = None
) -> bool:
    """Make a bundle the one in use where none ever was, in one atomic step; whether that was so."""
    with _alone(folder, store) as shared:
        if (folder / CHAMPION).exists() and shared:
            return False
        _put_in_use(folder, "promote", [_from_now(bundle_id)], (), author, store)
        return True


def roll_back(
    folder: Path, expected: str, author: Author | None = None, store: SharedBundles | None = None
) -> Promotion:
    """Take the last promotion back, in one atomic step, and record who did.

    Returns the former promotion that holds again. A bundle that was taken back is not
    returned to by a later call; `promote` brings it back.

    Args:
        expected: the bundle that the caller found to be next in line, and verified.
        author: who takes it back; by default the user that this process runs as.
        store: as of `promote`.

    Raises:
        BundleError: none was in use before, or meanwhile another one is next in line; or it is in use again,
            and that could not be recorded.
        UnavailableError, ConfigurationError: the store does not answer, or refuses.
    """
    with _alone(folder, store):
        current, *earlier = promotions(folder)
        if not earlier:
            raise _nothing_before(folder, current)
        if earlier[0].bundle_id != expected:
            raise BundleError(
                f"the bundle in use before is {earlier[0].bundle_id} now, no longer {expected}",
                "Somebody else promoted or rolled back at the same time: look with"
                " `clickstream models list`.",
            )
        _put_in_use(folder, "roll back", [_from_now(expected), *earlier[1:]], [current], author, store)
        return earlier[0]


def next_in_line(folder: Path) -> list[Promotion]:
    """What `promotions` will be after a rollback.

    Raises:
        BundleError: none was in use before.
    """
    current, *earlier = promotions(folder)
    if not earlier:
        raise _nothing_before(folder, current)
    return earlier


def _nothing_before(folder: Path, current: Promotion) -> BundleError:
    others = [name for name in bundle_ids(folder) if name != current.bundle_id]
    return BundleError(
        f"no bundle was in use before {current.bundle_id}: there is nothing to go back to",
        f"Choose one with `clickstream models promote ID`: {', '.join(others[-5:])}."
        if others
        else "There is no other bundle; `clickstream train` makes one.",
    )


def locate(folder: Path, name: str | Path) -> Path:
    """The folder of the bundle called `name`: `champion`, an id, or a path.

    Raises:
        BundleError: there is no such bundle.
    """
    if name == CHAMPION:
        path = folder / champion(folder)
    elif isinstance(name, str) and BUNDLE_ID.fullmatch(name):
        path = folder / name
    else:
        path = Path(name).expanduser()
    if not path.is_dir():
        raise BundleError(f"there is no bundle {str(name)!r}: {path} is not a folder", _choices(folder))
    return path


def _promotion(line: str) -> Promotion | None:
    bundle_id, _, at = line.strip().partition(" ")
    if not BUNDLE_ID.fullmatch(bundle_id):
        return None
    try:
        return Promotion(bundle_id, datetime.datetime.fromisoformat(at))
    except ValueError:
        return Promotion(bundle_id, None)


def _from_now(bundle_id: str) -> Promotion:
    return Promotion(bundle_id, datetime.datetime.now(datetime.UTC).replace(microsecond=0))


def _put_in_use(
    folder: Path,
    step: Step,
    history: Sequence[Promotion],
    before: Sequence[Promotion],
    author: Author | None,
    store: SharedBundles | None,
) -> None:
    """Write the history, whose first is in use from now on; then the line of the record."""
    content = "".join(
        f"{one.bundle_id}\n" if one.at is None else f"{one.bundle_id} {one.at.isoformat()}\n"
        for one in history[:MOST_KEPT]
    ).encode()
    if store is not None:
        store.put_in_use(content)
    replace_file(folder / CHAMPION, content)
    now = history[0]
    was = before[0].bundle_id if before else None
    at = now.at or datetime.datetime.now(datetime.UTC)
    line = record(folder, RecordedPromotion(at, step, now.bundle_id, was, author or system_user()))
    if store is not None:
        store.add_to_record(line)


@contextmanager
def _alone(folder: Path, store: SharedBundles | None) -> Iterator[bool]:
    """Two who promote at once do so one after the other, or a line of the history would be lost.

    Of those on other machines, the store refuses one. Gives whether what the folder says is in use is so for
    the store, too, where there is one: a home may be older than its store.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield store is None or store.bring_history()
    finally:
        os.close(handle)


def _choices(folder: Path) -> str:
    found = bundle_ids(folder)
    if not found:
        return "Run `clickstream train`."
    return f"Name one of {', '.join(found[-5:])}, or run `clickstream train`."
