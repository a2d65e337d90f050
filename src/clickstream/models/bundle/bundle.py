"""The bundle: the artefact of training on disk, and the scorers read from it.

A bundle is a folder: `manifest.json` and the files that it names. It is written whole under a temporary
name and renamed, so a reader finds all of it or nothing. It is verified whole before any pickle is opened,
see verification.py; the evaluation and the reports are checked with the rest, and not parsed.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import os
import pickle
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import joblib
from threadpoolctl import ThreadpoolController

from clickstream.features.vector import Features
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings
from clickstream.models.batch import BatchModels
from clickstream.models.bundle.champion import locate
from clickstream.models.bundle.manifest import MANIFEST, Contents, FileEntry, Manifest, seal, with_reports
from clickstream.models.bundle.signature import SIGNATURE, signature, signing_key
from clickstream.models.bundle.verification import Verified, verify
from clickstream.models.case import Artefact, Case, Prediction, Regressor, prediction
from clickstream.models.clusters import NAMES, Clusters
from clickstream.models.evaluation import EVALUATION, Evaluation
from clickstream.models.inputs import Vocabulary
from clickstream.models.online import BaseRates, OnlineModels, read_state
from clickstream.models.reference import ReferenceModels

__all__ = ["Bundle", "Case", "Fitted", "Manifest", "Prediction", "load_bundle", "open_bundle", "write"]

# What opening a file of another version of this program may raise, by the documentation of `pickle` and by
# trial; pydantic's ValidationError is a ValueError.
_UNREADABLE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    TypeError,
    ValueError,
)


class Fitted(NamedTuple):
    """What training hands over to be written. `online` is the payload of the warm start."""

    contents: Contents
    vocabulary: Vocabulary
    clusters: Clusters
    batch: BatchModels
    reference: ReferenceModels
    online: bytes
    evaluation: Evaluation


class Bundle:
    """A verified bundle, ready to score.

    Attributes:
        id: name of the bundle, which sorts by time of training.
        path: its folder.
        manifest: everything known about it.
        batch, reference, clusters: the fitted scikit-learn models.
        vocabulary: the values that they know.
    """

    def __init__(self, path: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
        self.id = manifest.id
        self.path = path
        self.manifest = manifest
        self.vocabulary = Vocabulary.model_validate_json(files["inputs.json"])
        self.clusters = Clusters(_open(files["clusters.joblib"]))
        self.batch = BatchModels(_open(files["batch.joblib"]), self.vocabulary)
        self.reference = ReferenceModels(_open(files["reference.joblib"]), self.vocabulary)
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
            clusters = self.clusters.predict(whole)
            reference = _ask(self.reference, whole, self._base_rates)
            batch = _ask(self.batch, [case.prefix for case in cases], self._base_rates)
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
            self.id, self.vocabulary, self.clusters, self._base_rates, self._online_classes, payload
        )
        models.lessons = lessons
        return models


def write(fitted: Fitted, target: Settings | Path) -> Bundle:
    """Write a new bundle, and read it back. It is signed where the settings have a key.

    Args:
        target: the settings, or the folder that holds all bundles.

    Raises:
        BundleError: what was written cannot be read.
        ConfigurationError: there is a key, and it cannot be used.
        OSError: the disk is full or the folder cannot be written. Nothing is left behind.
    """
    # Consumers read bundles and never write one: they do without the libraries of plots and templates.
    from clickstream.training.report.card import render_card
    from clickstream.training.report.report import render_report

    folder, key = _place(target)
    files = {
        "batch.joblib": _close(fitted.batch.artefact),
        "clusters.joblib": _close(fitted.clusters.artefact),
        "inputs.json": fitted.vocabulary.model_dump_json().encode(),
        "online.pickle": fitted.online,
        "reference.joblib": _close(fitted.reference.artefact),
        EVALUATION: fitted.evaluation.model_dump_json().encode(),
    }
    manifest = seal(fitted.contents, _entries(files), datetime.datetime.now(datetime.UTC))
    reports = {
        "model_card.md": render_card(manifest, fitted.evaluation).encode(),
        "report.html": render_report(manifest, fitted.evaluation).encode(),
    }
    manifest = with_reports(manifest, _entries(reports))
    text = manifest.to_json()
    signed = {} if key is None else {SIGNATURE: signature(text, key)}
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        for name, content in {**files, **reports, MANIFEST: text, **signed}.items():
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
    return load_bundle(target, manifest.id)


def load_bundle(source: Settings | Path, name: str | Path | None = None) -> Bundle:
    """Verify a bundle and read it.

    Args:
        source: the settings, or the folder that holds all bundles: then no signature is asked for.
        name: `champion`, a bundle id, or the path of a bundle; by default what the settings name.

    Raises:
        BundleError: it is missing, damaged, made for other versions or features, or not signed with the key
            of the settings; says what differs and what to do. No pickle was opened.
        ConfigurationError: the settings have a key that cannot be used.
    """
    folder, key = _place(source)
    if name is None:
        name = source.bundle if isinstance(source, Settings) else "champion"
    return open_bundle(verify(locate(folder, name), key))


def open_bundle(verified: Verified) -> Bundle:
    """The scorers of a bundle that was verified. This opens its pickles.

    Raises:
        BundleError: its files do not hold what this version expects in them.
    """
    try:
        return Bundle(verified.path, verified.manifest, verified.files)
    except _UNREADABLE as error:
        raise BundleError(
            f"bundle {verified.path} is undamaged, and not what this version writes:"
            f" {type(error).__name__}: {str(error)[:200]}",
            "Run `clickstream train` with this version.",
        ) from error


def _place(source: Settings | Path) -> tuple[Path, bytes | None]:
    """The folder of all bundles, and the key that they must be signed with."""
    return (source.bundles, signing_key(source)) if isinstance(source, Settings) else (source, None)


def _entries(files: dict[str, bytes]) -> dict[str, FileEntry]:
    return {
        name: FileEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    }


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
