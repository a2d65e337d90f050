"""The bundles of a folder as a person sees them: each with whether it can be used here, or why not."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clickstream.bundles.champion import Promotion, bundle_ids, bundles_of, locate, promotions
from clickstream.bundles.manifest import MANIFEST, Manifest, parse_manifest
from clickstream.bundles.signature import SIGNATURE, SignatureState, signing_key
from clickstream.bundles.store import bring, store_of
from clickstream.bundles.verification import verify
from clickstream.features.shop_file import UCI553_NAME
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings


class ListedBundle(NamedTuple):
    """A bundle. `problem` is None where consumers would take it, `manifest` where there is no reading it.

    The manifest of a bundle with a problem says what was found, not what is true.
    """

    id: str
    path: Path
    manifest: Manifest | None
    signed: SignatureState | None
    in_use: bool
    problem: BundleError | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        content: dict[str, Any] = {
            "id": self.id,
            "path": str(self.path),
            "in_use": self.in_use,
            "signed": self.signed,
            "usable": self.problem is None,
            "problem": None if self.problem is None else self.problem.what,
            "remedy": None if self.problem is None else self.problem.remedy,
        }
        if self.manifest is not None:
            content |= {
                "trained_at": self.manifest.created_at.isoformat(),
                "data": self.manifest.data.model_dump(),
                "split": self.manifest.split.model_dump(mode="json"),
                "figures": self.manifest.figures,
            }
        return content


def examine_bundles(settings: Settings, shop: str = UCI553_NAME) -> Iterator[ListedBundle]:
    """Every bundle of a shop in the folder and in the store, the oldest first, verified and not opened.

    Raises:
        ConfigurationError: there is a key, and it cannot be used.
        UnavailableError: the store does not answer.
    """
    key = signing_key(settings)
    folder = bundles_of(settings.bundles, shop)
    used = [one.bundle_id for one in history(settings, shop)[:1]]
    for bundle_id in known_ids(settings, shop):
        path = folder / bundle_id
        in_use = bundle_id in used
        try:
            verified = verify(have(settings, shop, bundle_id), key)
        except BundleError as problem:
            signed: SignatureState | None = None if (path / SIGNATURE).exists() else "no"
            yield ListedBundle(bundle_id, path, _as_found(path), signed, in_use, problem)
        else:
            yield ListedBundle(bundle_id, path, verified.manifest, verified.signed, in_use, None)


def known_ids(settings: Settings, shop: str = UCI553_NAME) -> list[str]:
    """The bundles of a shop in the folder and in the store, the oldest first.

    Raises:
        UnavailableError, ConfigurationError: the store does not answer, or refuses.
    """
    store = store_of(settings, shop)
    shared = [] if store is None else store.bundle_ids()
    return sorted({*bundle_ids(bundles_of(settings.bundles, shop)), *shared})


def have(settings: Settings, shop: str, name: str | Path) -> Path:
    """The folder of a bundle called `champion`, an id or a path, fetched from the store where it has to be.

    Raises:
        BundleError: there is no such bundle, or it is damaged in the store.
        UnavailableError, ConfigurationError: the store does not answer, or refuses.
    """
    bring(settings, shop, name)
    return locate(bundles_of(settings.bundles, shop), name)


def history(settings: Settings, shop: str = UCI553_NAME) -> list[Promotion]:
    """The bundle in use, and those before it, the latest first; empty where there is none.

    Raises:
        UnavailableError, ConfigurationError: the store does not answer, or refuses.
    """
    if (store := store_of(settings, shop)) is not None:
        store.bring_history()
    try:
        return promotions(bundles_of(settings.bundles, shop))
    except BundleError:
        return []


def figure(manifest: Manifest, scorer: str, name: str) -> float | None:
    """A figure on held-out sessions, where there is one."""
    figures: Mapping[str, float] = manifest.figures.get(scorer, {})
    return figures.get(name)


def day_and_time(at: datetime.datetime) -> str:
    """`2026-03-01 12:00 UTC`."""
    return f"{at.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _as_found(path: Path) -> Manifest | None:
    try:
        return parse_manifest((path / MANIFEST).read_bytes(), str(path))
    except (OSError, BundleError):
        return None
