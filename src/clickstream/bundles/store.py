"""Bundles for many machines: an object store holds them and which one is in use, a home holds copies.

The store is laid out as the folder of bundles is, with the same files. A bundle never changes, so it is
fetched once: signature, size and hashes are checked before a copy is written, and again by each program that
loads it. `champion` is replaced only in place of the one that was read: of two who promote at once, one is
refused.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from functools import cache
from pathlib import Path

from clickstream.bundles.champion import CHAMPION, MOST_BYTES_OF_CHAMPION, bundles_of, parse_promotions
from clickstream.bundles.manifest import (
    BUNDLE_ID,
    MANIFEST,
    MOST_BYTES,
    FileEntry,
    check_unchanged,
    parse_manifest,
)
from clickstream.bundles.promotion_record import RECORD
from clickstream.bundles.signature import SIGNATURE, check_signature, signing_key
from clickstream.bundles.writing import write_whole
from clickstream.features.shop_file import UCI553_NAME
from clickstream.infra.errors import BundleError, InputError
from clickstream.infra.files import replace_file
from clickstream.infra.objects import ChangedMeanwhileError, Object, ObjectFolder
from clickstream.infra.settings import Settings

_MOST_BYTES_OF_BUNDLE = 1 << 30

_MOST_BYTES_OF_RECORD = 16 << 20

_TRIES = 20

_LONGEST_PAUSE_S = 0.3

_REMEDY = "Use another bundle, or upload it again from a copy that `clickstream models verify` finds fine."


class BundleStore:
    """The bundles of a shop in an object store, and the folder of a home that holds copies of them.

    Args:
        key: that bundles must be signed with; None = none is asked for.
    """

    def __init__(self, objects: ObjectFolder, folder: Path, key: bytes | None) -> None:
        self.url = objects.url
        self._objects = objects
        self._folder = folder
        self._key = key
        self._champion_tag: str | None = None

    def bundle_ids(self) -> list[str]:
        """The bundles in the store, oldest first.

        Raises:
            UnavailableError, ConfigurationError: the store does not answer, or refuses.
        """
        return [name for name in self._objects.folders() if BUNDLE_ID.fullmatch(name)]

    def bring(self, name: str | Path) -> None:
        """Have the bundle called `name` in the folder: `champion`, which is noted there too, or an id.

        A path leads elsewhere, and nothing is done.

        Raises:
            BundleError: it is not in the store either, is damaged there, or not signed with the key; nothing
                of it was kept. None was promoted.
            UnavailableError, ConfigurationError: the store does not answer, or refuses.
        """
        if name == CHAMPION:
            content = self._champion()
            if content is None:
                raise BundleError(
                    f"no bundle is in use in {self.url}",
                    "Train one with this store set, or `clickstream models promote ID`.",
                )
            self._bring(parse_promotions(content, f"{self.url}/{CHAMPION}")[0].bundle_id)
            self._note(CHAMPION, content)
        elif isinstance(name, str) and BUNDLE_ID.fullmatch(name):
            self._bring(name)

    def bring_history(self) -> bool:
        """Have `champion` and the record of promotions in the folder as they are in the store.

        Returns whether one was promoted in the store; where none was, the folder keeps its own.

        Raises:
            UnavailableError, ConfigurationError: the store does not answer, or refuses.
        """
        champion, record = self._champion(), self._record()[0]
        if champion is not None:
            self._note(CHAMPION, champion)
        if record is not None:
            self._note(RECORD, record)
        return champion is not None

    def champion_tag(self) -> str | None:
        """What changes with each promotion; None before the first.

        Raises:
            UnavailableError, ConfigurationError: the store does not answer, or refuses.
        """
        return self._objects.tag(CHAMPION)

    def publish(self, bundle_id: str) -> None:
        """Write a bundle of the folder to the store, or its signature alone where the rest is there.

        The manifest comes last: before, nobody can fetch it.

        Raises:
            UnavailableError, ConfigurationError: the store does not answer, or refuses; again is no harm.
            OSError: the bundle cannot be read.
        """
        names = sorted(os.listdir(self._folder / bundle_id), key=lambda name: (name == MANIFEST, name))
        if self._objects.tag(f"{bundle_id}/{MANIFEST}") is not None:
            names = [name for name in names if name == SIGNATURE]
        for name in names:
            self._objects.put(f"{bundle_id}/{name}", (self._folder / bundle_id / name).read_bytes())

    def put_in_use(self, champion: bytes) -> None:
        """Replace the file `champion` that was read last, by a promotion that was decided by it.

        Raises:
            BundleError: somebody else promoted meanwhile. Nothing was changed.
            UnavailableError, ConfigurationError: the store does not answer, or refuses.
        """
        try:
            self._objects.replace(CHAMPION, champion, self._champion_tag)
        except ChangedMeanwhileError as error:
            raise BundleError(
                f"somebody else promoted or rolled back in {self.url} at the same time",
                "See what is in use now, `clickstream models list`; then decide again.",
            ) from error

    def add_to_record(self, line: bytes) -> None:
        """Add a line to the record of promotions, after those that others add meanwhile.

        Raises:
            BundleError: each time somebody else had written it meanwhile, or the store says so.
            UnavailableError, ConfigurationError: the store does not answer, or refuses.
        """
        for turn in range(_TRIES):
            content, tag = self._record()
            try:
                self._objects.replace(RECORD, (content or b"") + line, tag)
            except ChangedMeanwhileError:
                # Of several who write at once each waits another time.
                time.sleep(random.uniform(0, _LONGEST_PAUSE_S * (turn + 1) / _TRIES))
                continue
            return
        raise BundleError(
            f"the promotion was made, but {self.url}/{RECORD} lacks it: {_TRIES} times the store said that"
            " somebody else wrote it meanwhile",
            "Does the store know conditional writes (If-Match, If-None-Match)? The line is in the record of"
            " this home.",
        )

    def _champion(self) -> bytes | None:
        found = self._get(CHAMPION, MOST_BYTES_OF_CHAMPION)
        self._champion_tag = None if found is None else found.tag
        return None if found is None else found.content

    def _record(self) -> tuple[bytes | None, str | None]:
        found = self._get(RECORD, _MOST_BYTES_OF_RECORD)
        return (None, None) if found is None else found

    def _note(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / name
        if not file.is_file() or file.read_bytes() != content:
            replace_file(file, content)

    def _bring(self, bundle_id: str) -> None:
        copy = self._folder / bundle_id
        if copy.is_dir():
            # One that was signed after it was fetched.
            if self._key is not None and not (copy / SIGNATURE).exists():
                signed = self._content(bundle_id, SIGNATURE, MOST_BYTES)
                if signed is not None:
                    replace_file(copy / SIGNATURE, signed)
            return
        files = self._fetch(bundle_id)
        try:
            write_whole(self._folder, bundle_id, files)
        except OSError:
            # Another process of this home was faster.
            if not copy.is_dir():
                raise

    def _fetch(self, bundle_id: str) -> dict[str, bytes]:
        """The files of a bundle, checked against its manifest, and that against the key."""
        where = f"bundle {self.url}/{bundle_id}"
        text = self._content(bundle_id, MANIFEST, MOST_BYTES)
        if text is None:
            raise BundleError(
                f"there is no {where}",
                "Name one of `clickstream models list`. A bundle of another home comes there when it is"
                " promoted with this store set.",
            )
        signed = self._content(bundle_id, SIGNATURE, MOST_BYTES)
        check_signature(text, signed, self._key, where)
        manifest = parse_manifest(text, where)
        if manifest.id != bundle_id:
            raise BundleError(f"{where} holds bundle {manifest.id}", _REMEDY)
        check_unchanged(manifest, where)
        size = sum(entry.bytes for entry in manifest.files.values())
        if size > _MOST_BYTES_OF_BUNDLE:
            raise BundleError(
                f"{where} has {size:,} bytes; at most {_MOST_BYTES_OF_BUNDLE:,} are fetched", _REMEDY
            )
        files = {name: self._file(bundle_id, name, entry) for name, entry in manifest.files.items()}
        return {**files, MANIFEST: text} | ({} if signed is None else {SIGNATURE: signed})

    def _file(self, bundle_id: str, name: str, entry: FileEntry) -> bytes:
        where = f"{name} of bundle {self.url}/{bundle_id}"
        content = self._content(bundle_id, name, entry.bytes)
        if content is None:
            raise BundleError(f"{where} is missing; its manifest names it", _REMEDY)
        if (digest := hashlib.sha256(content).hexdigest()) != entry.sha256:
            raise BundleError(f"{where} has the SHA-256 {digest}; its manifest says {entry.sha256}", _REMEDY)
        return content

    def _content(self, bundle_id: str, name: str, at_most: int) -> bytes | None:
        found = self._get(f"{bundle_id}/{name}", at_most)
        return None if found is None else found.content

    def _get(self, key: str, at_most: int) -> Object | None:
        try:
            return self._objects.get(key, at_most)
        except InputError as error:
            raise BundleError(error.what, _REMEDY) from error


def store_of(settings: Settings, shop: str = UCI553_NAME) -> BundleStore | None:
    """The store of the bundles of a shop; None where they lie in the home alone.

    Raises:
        ConfigurationError: boto3 is missing, or it or the key cannot be used.
    """
    if settings.bundle_store is None:
        return None
    url = bundles_of(Path(settings.bundle_store.removeprefix("s3://")), shop)
    objects = _objects(f"s3://{url}", settings.patience / 1_000)
    return BundleStore(objects, bundles_of(settings.bundles, shop), signing_key(settings))


def bring(settings: Settings, shop: str, name: str | Path) -> None:
    """Have the bundle called `name` in the home: `BundleStore.bring`, where there is a store."""
    if (store := store_of(settings, shop)) is not None:
        store.bring(name)


@cache
def _objects(url: str, patience_s: float) -> ObjectFolder:
    """Making one takes a third of a second."""
    return ObjectFolder(url, patience_s)
