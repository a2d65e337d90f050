"""Whether a bundle on disk may be opened: everything that can be said of it without opening a pickle.

In this order: the signature, where a key is set; the format; the versions and the definitions of the
features; the names of the files; size and hash of each; the hashes of the manifest itself. The bytes that
were hashed are handed on, so nothing is read a second time after it was checked.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from clickstream.bundles.manifest import (
    BUNDLE_ID,
    MANIFEST,
    MOST_BYTES,
    REPORTS,
    FileEntry,
    Manifest,
    check_made_for_us,
    check_unchanged,
    parse_manifest,
)
from clickstream.bundles.signature import SIGNATURE, SignatureState, check_signature
from clickstream.infra.errors import BundleError
from clickstream.models.evaluation import EVALUATION, Evaluation, EvaluationPart
from clickstream.models.scorers import REGISTRY
from clickstream.models.shop.evaluation import ShopEvaluation

E = TypeVar("E", bound=EvaluationPart)

MODELS = ("clusters.joblib", "inputs.json", *(scorer.file for scorer in REGISTRY.values()))

REQUIRED = (*MODELS, EVALUATION, *REPORTS)
"""Files of a bundle of shop uci553."""

DEFINITION = "shop.json"
"""The definition of the shop, in a bundle of any other."""

REQUIRED_OF_A_SHOP = (
    DEFINITION,
    "clusters.joblib",
    "inputs.json",
    *(scorer.file for scorer in REGISTRY.values() if scorer.of_any_shop),
    EVALUATION,
    *REPORTS,
)

_REMEDY = "Restore the bundle from a copy, use another one, or run `clickstream train`."


class VerifiedBundle(NamedTuple):
    """A bundle whose every byte is as its manifest says: `text`, parsed. `files` is their content by name."""

    path: Path
    text: bytes
    manifest: Manifest
    files: dict[str, bytes]
    signed: SignatureState

    def evaluation(self) -> Evaluation:
        """What training found out about models of shop uci553.

        Raises:
            BundleError: the file is none that this version writes.
        """
        return self._evaluation(Evaluation)

    def shop_evaluation(self) -> ShopEvaluation:
        """What training found out about models of any other shop.

        Raises:
            BundleError: the file is none that this version writes.
        """
        return self._evaluation(ShopEvaluation)

    def _evaluation(self, kind: type[E]) -> E:
        try:
            return kind.model_validate_json(self.files[EVALUATION])
        except ValidationError as error:
            raise BundleError(
                f"{EVALUATION} of bundle {self.path} is undamaged, and not what this version writes: {error}",
                "Run `clickstream train` with this version.",
            ) from error


def verify(path: Path, key: bytes | None) -> VerifiedBundle:
    """Check the bundle in the folder `path`; with `key`, its signature too.

    Raises:
        BundleError: it is damaged, made for other versions or features, holds more than it names, or is not
            signed with `key`; says what differs and what to do.
    """
    where = f"bundle {path}"
    text = _read(path, MANIFEST, None)
    found = _read(path, SIGNATURE, None) if os.path.lexists(path / SIGNATURE) else None
    signed = check_signature(text, found, key, where)
    manifest = parse_manifest(text, where)
    check_made_for_us(manifest, where)
    if BUNDLE_ID.fullmatch(path.name) and path.name != manifest.id:
        raise BundleError(
            f"{where} holds bundle {manifest.id}: a score would name another than the one in use",
            "Give the folder the name of the bundle that it holds.",
        )
    required = REQUIRED if manifest.shop is None else REQUIRED_OF_A_SHOP
    missing = sorted(set(required) - set(manifest.files))
    if missing:
        raise BundleError(f"{where} does not name {', '.join(missing)}", "Run `clickstream train` again.")
    strangers = sorted(set(_listing(path)) - set(manifest.files) - {MANIFEST, SIGNATURE})
    if strangers:
        raise BundleError(
            f"{where} holds what its manifest does not name: {', '.join(strangers)}",
            "Move it elsewhere if you put it there; else use another bundle.",
        )
    files = {name: _read(path, name, entry) for name, entry in manifest.files.items()}
    check_unchanged(manifest, where)
    return VerifiedBundle(path, text, manifest, files, signed)


def _listing(path: Path) -> list[str]:
    """Files of the bundle; hidden ones, which desktops and network drives leave, are none of it."""
    try:
        return [name for name in os.listdir(path) if not name.startswith(".")]
    except OSError as error:
        raise BundleError(
            f"bundle {path} cannot be listed: {error}", "Check who may read the folder."
        ) from error


def _read(path: Path, name: str, entry: FileEntry | None) -> bytes:
    """A file of the bundle, checked against its entry; manifest and signature have none."""
    file = path / name
    try:
        # A link could lead out of the folder, and what it leads to can change after the check.
        if file.is_symlink() or not file.is_file():
            raise BundleError(f"bundle {path} has no file {name}", _REMEDY)
        size = file.stat().st_size
        if entry is None and size > MOST_BYTES:
            raise BundleError(
                f"{name} of bundle {path} has {size} bytes; at most {MOST_BYTES} are read", _REMEDY
            )
        if entry is not None and size != entry.bytes:
            raise BundleError(
                f"{name} of bundle {path} has {size} bytes; its manifest says {entry.bytes}", _REMEDY
            )
        content = file.read_bytes()
    except OSError as error:
        raise BundleError(f"{name} of bundle {path} cannot be read: {error}", _REMEDY) from error
    if entry is not None and (digest := hashlib.sha256(content).hexdigest()) != entry.sha256:
        raise BundleError(
            f"{name} of bundle {path} has the SHA-256 {digest}; its manifest says {entry.sha256}", _REMEDY
        )
    return content
