"""The bundle in use while another is trained: its clusters are compared, its models may be taken over."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import joblib
from pydantic import ValidationError

from clickstream.bundles.champion import CHAMPION
from clickstream.bundles.folder import have
from clickstream.bundles.manifest import Manifest
from clickstream.bundles.signature import signing_key
from clickstream.bundles.verification import verify
from clickstream.features.shop_file import UCI553_NAME
from clickstream.infra.errors import BundleError, UsageError
from clickstream.infra.settings import Settings
from clickstream.models.case import Artefact
from clickstream.models.clusters import Clusters
from clickstream.models.evaluation import EVALUATION, Evaluation
from clickstream.models.inputs import Vocabulary
from clickstream.models.scorers import FITTED, LEARNER, FittedModels


class PreviousBundle(NamedTuple):
    """A verified bundle, read to go on from. `artefacts` are what the files of its fitted scorers hold."""

    manifest: Manifest
    evaluation: Evaluation | None
    clusters: Clusters
    artefacts: Mapping[str, Artefact]
    online: bytes

    def fitted(self, scorers: Collection[str], vocabulary: Vocabulary) -> dict[str, FittedModels]:
        """The models of those of `scorers` that were fitted, by name."""
        return {
            scorer.name: scorer.opened(self.artefacts[scorer.name], vocabulary)
            for scorer in FITTED
            if scorer.name in scorers and scorer.opened is not None
        }

    def check_same_data(self, sha256: str, split: str, seed: int) -> Evaluation:
        """Return the findings of this bundle, which a new one may share if it is trained on the same data.

        Raises:
            UsageError: data, split or seed differ, or the bundle holds no findings.
        """
        there = (self.manifest.data.sha256, self.manifest.split.kind, self.manifest.seed)
        differing = [
            f"{name} {old} (here {new})"
            for name, old, new in zip(("data", "split", "seed"), there, (sha256, split, seed), strict=True)
            if old != new
        ]
        if self.evaluation is None:
            differing.append("it holds no evaluation")
        if differing or self.evaluation is None:
            raise UsageError(
                f"no models can be taken over from bundle {self.manifest.id}: {', '.join(differing)}",
                "Train both sets (--set both), or give the data, split and seed of that bundle.",
            )
        return self.evaluation


def read_previous(settings: Settings) -> PreviousBundle:
    """Read the bundle in use.

    Raises:
        BundleError: there is none, or it cannot be used.
        UnavailableError: the store of bundles does not answer.
    """
    verified = verify(have(settings, UCI553_NAME, CHAMPION), signing_key(settings))
    files = verified.files
    try:
        evaluation = Evaluation.model_validate_json(files[EVALUATION]) if EVALUATION in files else None
    except ValidationError as error:
        raise BundleError(
            f"{EVALUATION} of bundle {verified.path} is not what this version writes: {error}",
            "Train both sets (--set both).",
        ) from error
    return PreviousBundle(
        verified.manifest,
        evaluation,
        Clusters(_open(files["clusters.joblib"])),
        {scorer.name: _open(files[scorer.file]) for scorer in FITTED},
        files[LEARNER.file],
    )


def _open(content: bytes) -> Any:
    return joblib.load(io.BytesIO(content))
