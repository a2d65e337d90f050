"""Bundles: what stands in a folder, or in a store, that somebody else can write.

Parts: a manifest; the evaluation; `champion`; a line of the record of promotions.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from functools import cache
from pathlib import Path

from clickstream.bundles.champion import parse_promotions
from clickstream.bundles.manifest import (
    MANIFEST,
    FileEntry,
    Manifest,
    check_made_for_us,
    hashed,
    parse_manifest,
    running_versions,
)
from clickstream.bundles.promotion_record import RECORD, recorded
from clickstream.bundles.signature import SIGNATURE
from clickstream.bundles.verification import verify
from clickstream.infra.errors import BundleError
from clickstream.models.evaluation import EVALUATION
from fuzz.contract import parts, refusing


def check(data: bytes) -> None:
    """Read each of the files as it is, then as somebody who can hash would have written it."""
    text, evaluation, champion, record = parts(data, 4)
    with refusing(BundleError):
        parse_promotions(champion, "champion")
    _write(RECORD, record)
    for one in recorded(_folder()):
        _shown = one.at.isoformat(), one.author.name
    with refusing(BundleError):
        _verify(text, evaluation)
    forged = None
    with refusing(BundleError):
        forged = _forged(parse_manifest(text, "a bundle"), evaluation)
    if forged is not None:
        with refusing(BundleError):
            _verify(forged.to_json(), evaluation)


def _forged(manifest: Manifest, evaluation: bytes) -> Manifest:
    """The manifest with hashes that are right, for files that are all the same."""
    check_made_for_us(manifest.model_copy(update={"versions": running_versions()}), "a bundle")
    entry = FileEntry(bytes=len(evaluation), sha256=hashlib.sha256(evaluation).hexdigest())
    files = dict.fromkeys(manifest.files, entry)
    return hashed(manifest.model_copy(update={"versions": running_versions(), "files": files}))


def _verify(text: bytes, evaluation: bytes) -> None:
    folder = _folder()
    for file in folder.iterdir():
        if file.name != RECORD:
            file.unlink()
    _write(MANIFEST, text)
    _write(SIGNATURE, b"0\n")
    for name in _names(text):
        _write(name, evaluation)
    (folder / RECORD).unlink(missing_ok=True)
    verified = verify(folder, None)
    if EVALUATION in verified.files:
        with refusing(BundleError):
            verified.shop_evaluation() if verified.manifest.shop else verified.evaluation()


def _names(text: bytes) -> list[str]:
    """The plain names among the files of a manifest: only these may be written here."""
    try:
        names = json.loads(text)["files"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
    return (
        [n for n in names if n.replace(".", "").isalnum() and len(n) < 99] if isinstance(names, dict) else []
    )


def _write(name: str, content: bytes) -> None:
    (_folder() / name).write_bytes(content)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="clickstream-fuzz-"))
