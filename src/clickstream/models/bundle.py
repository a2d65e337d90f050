"""The bundle: the artefact of training on disk, and the scorers read from it.

A bundle is a folder: `manifest.json` and the files that it names. It is written whole under a temporary
name and renamed, so a reader finds all of it or nothing. It is verified whole before any pickle is opened:
format, names, versions, feature definitions, sizes, hashes; and what was hashed is what is opened, not the
file read a second time.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import joblib
from pydantic import ValidationError
from threadpoolctl import ThreadpoolController

from clickstream.features.vector import Features
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings
from clickstream.models.batch import BatchModels
from clickstream.models.case import Artefact, Case, Prediction, Regressor, prediction
from clickstream.models.champion import locate
from clickstream.models.clusters import NAMES, Clusters
from clickstream.models.inputs import Vocabulary
from clickstream.models.manifest import (
    MANIFEST,
    MOST_BYTES,
    Contents,
    FileEntry,
    Manifest,
    check_made_for_us,
    check_unchanged,
    parse_manifest,
    seal,
)
from clickstream.models.online import BaseRates, OnlineModels, read_state
from clickstream.models.reference import ReferenceModels

__all__ = ["Bundle", "Case", "Fitted", "Manifest", "Prediction", "load_bundle", "write"]

_FILES = ("batch.joblib", "clusters.joblib", "inputs.json", "online.pickle", "reference.joblib")


class Fitted(NamedTuple):
    """What training hands over to be written. `online` is the payload of the warm start."""

    contents: Contents
    vocabulary: Vocabulary
    clusters: Clusters
    batch: BatchModels
    reference: ReferenceModels
    online: bytes


class Bundle:
    """A verified bundle, ready to score.

    Attributes:
        id: name of the bundle, which sorts by time of training.
        path: its folder.
        manifest: everything known about it.
    """

    def __init__(self, path: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
        self.id = manifest.id
        self.path = path
        self.manifest = manifest
        self._vocabulary = Vocabulary.model_validate_json(files["inputs.json"])
        self._clusters = Clusters(_open(files["clusters.joblib"]))
        self._batch = BatchModels(_open(files["batch.joblib"]), self._vocabulary)
        self._reference = ReferenceModels(_open(files["reference.joblib"]), self._vocabulary)
        self._warm_start = files["online.pickle"]
        self._online_classes = frozenset(manifest.online_classes)
        self._base_rates = BaseRates(manifest.base_rates.conversion, manifest.base_rates.revenue)
        # Asked for once: looking for the loaded thread pools costs as much as scoring a session.
        self._threads = ThreadpoolController()

    def predict(self, cases: Sequence[Case]) -> list[dict[str, Prediction]]:
        """What the scorers `batch` and `reference` say of each case, in order.

        Each model is asked once for the whole list, on one thread. The answers do not depend on which cases
        stand together in a list.
        """
        if not cases:
            return []
        whole = [case.reference for case in cases]
        with self._threads.limit(limits=1, user_api="openmp"):
            clusters = self._clusters.predict(whole)
            reference = _ask(self._reference, whole, self._base_rates)
            batch = _ask(self._batch, [case.prefix for case in cases], self._base_rates)
        return [
            {
                "batch": prediction(*honest, number, NAMES[number]),
                "reference": prediction(*published, number, NAMES[number]),
            }
            for honest, published, number in zip(batch, reference, clusters, strict=True)
        ]

    def online(self, state: bytes | None = None) -> OnlineModels:
        """The River models: as training left them, or as they were when they gave `state`.

        Raises:
            BundleError: the state belongs to another bundle, is damaged, or refers to a class that the online
                models of this bundle do not hold. No such class was resolved.
        """
        lessons, payload = (0, self._warm_start) if state is None else read_state(state, self.id)
        models = OnlineModels(
            self.id, self._vocabulary, self._clusters, self._base_rates, self._online_classes, payload
        )
        models.lessons = lessons
        return models


def write(fitted: Fitted, folder: Path) -> Bundle:
    """Write a new bundle into `folder`, which holds all bundles, and read it back.

    Raises:
        BundleError: what was written cannot be read.
        OSError: the disk is full or the folder cannot be written. Nothing is left behind.
    """
    files = {
        "batch.joblib": _close(fitted.batch.artefact),
        "clusters.joblib": _close(fitted.clusters.artefact),
        "inputs.json": fitted.vocabulary.model_dump_json().encode(),
        "online.pickle": fitted.online,
        "reference.joblib": _close(fitted.reference.artefact),
    }
    entries = {
        name: FileEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    }
    manifest = seal(fitted.contents, entries, datetime.datetime.now(datetime.UTC))
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        for name, content in {**files, MANIFEST: manifest.to_json()}.items():
            with (draft / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        # mkdtemp makes a folder for the owner alone; a consumer may run as somebody else.
        draft.chmod(0o755)
        draft.rename(folder / manifest.id)
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(draft)
        raise
    return load_bundle(folder, manifest.id)


def load_bundle(source: Settings | Path, name: str | Path | None = None) -> Bundle:
    """Verify a bundle and read it.

    Args:
        source: the settings, or the folder that holds all bundles.
        name: `champion`, a bundle id, or the path of a bundle; by default what the settings name.

    Raises:
        BundleError: it is missing, damaged, or made for other versions or features; says what differs and
            what to do. No pickle was opened.
    """
    folder = source.bundles if isinstance(source, Settings) else source
    if name is None:
        name = source.bundle if isinstance(source, Settings) else "champion"
    path = locate(folder, name)
    manifest, files = _verify(path)
    try:
        return Bundle(path, manifest, files)
    except ValidationError as error:
        raise BundleError(
            f"inputs.json of bundle {path} is not what this version writes: {error}",
            "Run `clickstream train` with this version.",
        ) from error


def _verify(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    where = f"bundle {path}"
    manifest = parse_manifest(_read(path, MANIFEST, None), where)
    check_made_for_us(manifest, where)
    missing = sorted(set(_FILES) - set(manifest.files))
    if missing:
        raise BundleError(f"{where} does not name {', '.join(missing)}", "Run `clickstream train` again.")
    strangers = sorted(set(_listing(path)) - set(manifest.files) - {MANIFEST})
    if strangers:
        raise BundleError(
            f"{where} holds what its manifest does not name: {', '.join(strangers)}",
            "Move it elsewhere if you put it there; else use another bundle.",
        )
    files = {name: _read(path, name, entry) for name, entry in manifest.files.items()}
    check_unchanged(manifest, where)
    return manifest, files


def _listing(path: Path) -> list[str]:
    """Files of the bundle; hidden ones, which desktops and network drives leave, are none of it."""
    try:
        return [name for name in os.listdir(path) if not name.startswith(".")]
    except OSError as error:
        raise BundleError(
            f"bundle {path} cannot be listed: {error}", "Check who may read the folder."
        ) from error


def _read(path: Path, name: str, entry: FileEntry | None) -> bytes:
    """A file of the bundle, checked against its entry; the manifest has none."""
    file = path / name
    remedy = "Restore the bundle from a copy, use another one, or run `clickstream train`."
    try:
        # A link could lead out of the folder, and what it leads to can change after the check.
        if file.is_symlink() or not file.is_file():
            raise BundleError(f"bundle {path} has no file {name}", remedy)
        size = file.stat().st_size
        if entry is None and size > MOST_BYTES:
            raise BundleError(
                f"{name} of bundle {path} has {size} bytes; at most {MOST_BYTES} are read", remedy
            )
        if entry is not None and size != entry.bytes:
            raise BundleError(
                f"{name} of bundle {path} has {size} bytes; its manifest says {entry.bytes}", remedy
            )
        content = file.read_bytes()
    except OSError as error:
        raise BundleError(f"{name} of bundle {path} cannot be read: {error}", remedy) from error
    if entry is not None and (digest := hashlib.sha256(content).hexdigest()) != entry.sha256:
        raise BundleError(
            f"{name} of bundle {path} has the SHA-256 {digest}; its manifest says {entry.sha256}", remedy
        )
    return content


def _ask(models: Regressor, rows: Sequence[Features | None], usual: BaseRates) -> list[tuple[float, float]]:
    """Conversion and revenue of each row; the base rates where there is no evidence."""
    evident = [row for row in rows if row is not None]
    if not evident:
        return [usual for _ in rows]
    conversion, revenue = models.predict(evident)
    answers = zip(conversion.tolist(), revenue.tolist(), strict=True)
    return [usual if row is None else next(answers) for row in rows]


def _close(artefact: Artefact) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(artefact, buffer)
    return buffer.getvalue()


def _open(content: bytes) -> Artefact:
    artefact: Artefact = joblib.load(io.BytesIO(content))
    return artefact
