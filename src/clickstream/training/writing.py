"""Writing: the artefact of a training becomes a bundle on disk, whole or not at all."""

from __future__ import annotations

import datetime
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import joblib

from clickstream.bundles.bundle import Bundle, load_bundle, place
from clickstream.bundles.manifest import MANIFEST, Contents, FileEntry, Manifest, seal, with_reports
from clickstream.bundles.signature import SIGNATURE, signature
from clickstream.bundles.store import store_of
from clickstream.bundles.verification import DEFINITION
from clickstream.bundles.writing import write_whole
from clickstream.features.definition import ShopDefinition
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.settings import Settings
from clickstream.models.case import Artefact
from clickstream.models.clusters import Clusters
from clickstream.models.evaluation import EVALUATION, Evaluation
from clickstream.models.inputs import Vocabulary
from clickstream.models.scorers import FITTED, LEARNER, REGISTRY, FittedModels
from clickstream.models.shop.batch import ShopBatch
from clickstream.models.shop.clusters import ShopClusters
from clickstream.models.shop.evaluation import ShopEvaluation
from clickstream.models.shop.inputs import ShopInputs


class FittedBundle(NamedTuple):
    """What training hands over to be written: `fitted` by scorer, `online` the payload of the warm start."""

    contents: Contents
    vocabulary: Vocabulary
    clusters: Clusters
    fitted: Mapping[str, FittedModels]
    online: bytes
    evaluation: Evaluation


class FittedShop(NamedTuple):
    """What training of any shop but uci553 hands over to be written."""

    contents: Contents
    shop: ShopDefinition
    inputs: ShopInputs
    clusters: ShopClusters
    batch: ShopBatch
    online: bytes
    evaluation: ShopEvaluation


def write(fitted: FittedBundle, target: Settings | Path) -> Bundle:
    """Write a new bundle, and read it back. It is signed where the settings have a key.

    Args:
        target: the settings, or the folder that holds all bundles.

    Raises:
        BundleError: what was written cannot be read.
        ConfigurationError: there is a key, and it cannot be used.
        OSError: the disk is full or the folder cannot be written. Nothing is left behind.
        UnavailableError: the bundle is written, and the store did not answer.
    """
    # The libraries of plots and templates are an extra.
    from clickstream.report.card import render_card
    from clickstream.report.report import render_report

    files = {
        "clusters.joblib": _close(fitted.clusters.artefact),
        "inputs.json": fitted.vocabulary.model_dump_json().encode(),
        LEARNER.file: fitted.online,
        **{scorer.file: _close(fitted.fitted[scorer.name].artefact) for scorer in FITTED},
        EVALUATION: fitted.evaluation.model_dump_json().encode(),
    }
    manifest = _sealed(fitted.contents, files)
    reports = {
        "model_card.md": render_card(manifest, fitted.evaluation).encode(),
        "report.html": render_report(manifest, fitted.evaluation).encode(),
    }
    manifest = with_reports(manifest, _entries(reports))
    _write(manifest, files | reports, *place(target))
    return _published(load_bundle(target, manifest.id), target)


def write_shop(fitted: FittedShop, target: Settings | Path) -> Bundle:
    """Write a new bundle of any shop among those of its shop; else as `write`."""
    # The libraries of plots and templates are an extra.
    from clickstream.report.shop_report import render_shop_card, render_shop_report

    files = {
        DEFINITION: fitted.shop.source.encode(),
        "clusters.joblib": _close(fitted.clusters.artefact),
        "inputs.json": fitted.inputs.model_dump_json().encode(),
        LEARNER.file: fitted.online,
        REGISTRY["batch"].file: _close(fitted.batch.artefact),
        EVALUATION: fitted.evaluation.model_dump_json().encode(),
    }
    manifest = _sealed(fitted.contents, files)
    shown = manifest, fitted.evaluation, fitted.shop, fitted.inputs
    reports = {
        "model_card.md": render_shop_card(*shown).encode(),
        "report.html": render_shop_report(*shown).encode(),
    }
    manifest = with_reports(manifest, _entries(reports))
    _write(manifest, files | reports, *place(target, fitted.shop.name))
    return _published(load_bundle(target, manifest.id, fitted.shop), target)


def _published(bundle: Bundle, target: Settings | Path) -> Bundle:
    """The bundle, which other machines find by now, where the settings name a store."""
    store = store_of(target, bundle.shop.name) if isinstance(target, Settings) else None
    if store is not None:
        try:
            store.publish(bundle.id)
        except ClickstreamError as error:
            raise type(error)(
                f"bundle {bundle.id} is trained and lies in {bundle.path}; {error.what}",
                f"{error.remedy} `clickstream models promote {bundle.id}` writes it to the store then.",
            ) from error
    return bundle


def _sealed(contents: Contents, files: dict[str, bytes]) -> Manifest:
    return seal(contents, _entries(files), datetime.datetime.now(datetime.UTC))


def _write(manifest: Manifest, files: Mapping[str, bytes], folder: Path, key: bytes | None) -> None:
    text = manifest.to_json()
    signed = {} if key is None else {SIGNATURE: signature(text, key)}
    write_whole(folder, manifest.id, {**files, MANIFEST: text, **signed})


def _entries(files: dict[str, bytes]) -> dict[str, FileEntry]:
    return {
        name: FileEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    }


def _close(artefact: Artefact) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(artefact, buffer)
    return buffer.getvalue()
