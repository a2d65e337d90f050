"""Writing: the artefact of a training becomes a bundle on disk, whole or not at all."""

from __future__ import annotations

import datetime
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import joblib

from clickstream.infra.settings import Settings
from clickstream.models.bundle.bundle import Bundle, load_bundle, place
from clickstream.models.bundle.manifest import MANIFEST, Contents, FileEntry, seal, with_reports
from clickstream.models.bundle.signature import SIGNATURE, signature
from clickstream.models.case import Artefact
from clickstream.models.clusters import Clusters
from clickstream.models.evaluation import EVALUATION, Evaluation
from clickstream.models.inputs import Vocabulary
from clickstream.models.scorers import FITTED, LEARNER, FittedModels


class Fitted(NamedTuple):
    """What training hands over to be written: `fitted` by scorer, `online` the payload of the warm start."""

    contents: Contents
    vocabulary: Vocabulary
    clusters: Clusters
    fitted: Mapping[str, FittedModels]
    online: bytes
    evaluation: Evaluation


def write(fitted: Fitted, target: Settings | Path) -> Bundle:
    """Write a new bundle, and read it back. It is signed where the settings have a key.

    Args:
        target: the settings, or the folder that holds all bundles.

    Raises:
        BundleError: what was written cannot be read.
        ConfigurationError: there is a key, and it cannot be used.
        OSError: the disk is full or the folder cannot be written. Nothing is left behind.
    """
    # The libraries of plots and templates are an extra.
    from clickstream.training.report.card import render_card
    from clickstream.training.report.report import render_report

    folder, key = place(target)
    files = {
        "clusters.joblib": _close(fitted.clusters.artefact),
        "inputs.json": fitted.vocabulary.model_dump_json().encode(),
        LEARNER.file: fitted.online,
        **{scorer.file: _close(fitted.fitted[scorer.name].artefact) for scorer in FITTED},
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


def _entries(files: dict[str, bytes]) -> dict[str, FileEntry]:
    return {
        name: FileEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    }


def _close(artefact: Artefact) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(artefact, buffer)
    return buffer.getvalue()
