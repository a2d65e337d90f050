"""Bundles as somebody else would leave them: edited, or hashed anew so that everything fits."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clickstream.bundles.manifest import FileEntry, Manifest, hashed

Change = Callable[[dict[str, Any]], None]


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


def edit(bundle: Path, change: Change) -> None:
    """Rewrite a manifest, and nothing else."""
    file = bundle / "manifest.json"
    manifest = json.loads(file.read_bytes())
    change(manifest)
    file.write_text(json.dumps(manifest))


def forge(bundle: Path, change: Change) -> Path:
    """Rewrite a manifest and hash it anew, as one who can write the folder would; the bundle's new folder."""
    edit(bundle, change)
    file = bundle / "manifest.json"
    manifest = hashed(Manifest.model_validate_json(file.read_bytes()))
    file.write_bytes(manifest.to_json())
    return bundle.rename(bundle.parent / manifest.id)


def plant(bundle: Path, name: str, mark: Path) -> Change:
    """Put a trap in place of a file; the change that makes the manifest fit it."""
    content = pickle.dumps(Trap(mark))
    (bundle / name).write_bytes(content)
    entry = FileEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    return lambda manifest: manifest["files"].update({name: entry.model_dump()})
