"""The bundle: the artefact of training on disk, and the scorers read from it.

A bundle is a folder: `manifest.json` and the files that it names. It is written whole under a temporary
name and renamed, so a reader finds all of it or nothing. It is verified whole before any pickle is opened,
see verification.py; the evaluation and the reports are checked with the rest, and not parsed.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import joblib
from threadpoolctl import ThreadpoolController

from clickstream.features.vector import Features
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings
from clickstream.models.bundle.champion import locate
from clickstream.models.bundle.manifest import Manifest
from clickstream.models.bundle.signature import signing_key
from clickstream.models.bundle.verification import Verified, verify
from clickstream.models.case import Artefact, Case, Prediction, prediction
from clickstream.models.clusters import NAMES, Clusters
from clickstream.models.inputs import Vocabulary
from clickstream.models.online import BaseRates, OnlineModels, read_state
from clickstream.models.scorers import FITTED, LEARNER, FittedModels

__all__ = ["Bundle", "Case", "Manifest", "Prediction", "load_bundle", "open_bundle"]

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


class Bundle:
    """A verified bundle, ready to score.

    Attributes:
        id: name of the bundle, which sorts by time of training.
        path: its folder.
        manifest: everything known about it.
        fitted: the models of each scorer that does not learn in the stream.
        clusters: of all scorers.
        vocabulary: the values that they know.
    """

    def __init__(self, path: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
        self.id = manifest.id
        self.path = path
        self.manifest = manifest
        self.vocabulary = Vocabulary.model_validate_json(files["inputs.json"])
        self.clusters = Clusters(_open(files["clusters.joblib"]))
        self.fitted: Mapping[str, FittedModels] = {
            scorer.name: scorer.opened(_open(files[scorer.file]), self.vocabulary)
            for scorer in FITTED
            if scorer.opened is not None
        }
        self._warm_start = files[LEARNER.file]
        self._online_classes = frozenset(manifest.online_classes)
        self._base_rates = BaseRates(manifest.base_rates.conversion, manifest.base_rates.revenue)
        # Asked for once: looking for the loaded thread pools costs as much as scoring a session.
        self._threads = ThreadpoolController()

    def predict(self, cases: Sequence[Case]) -> list[dict[str, Prediction]]:
        """What the fitted scorers say of each case, in order: all but the one that learns in the stream.

        Each model is asked once for the whole list, on one thread. The answers do not depend on which cases
        stand together in a list.
        """
        if not cases:
            return []
        with self._threads.limit(limits=1, user_api="openmp"):
            clusters = self.clusters.predict([case.reference for case in cases])
            answers = {
                scorer.name: _ask(
                    self.fitted[scorer.name], [scorer.evidence(case) for case in cases], self._base_rates
                )
                for scorer in FITTED
            }
        return [
            {name: prediction(*of[at], number, NAMES[number]) for name, of in answers.items()}
            for at, number in enumerate(clusters)
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
    folder, key = place(source)
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


def place(source: Settings | Path) -> tuple[Path, bytes | None]:
    """The folder of all bundles, and the key that they must be signed with."""
    return (source.bundles, signing_key(source)) if isinstance(source, Settings) else (source, None)


def _ask(
    models: FittedModels, rows: Sequence[Features | None], usual: BaseRates
) -> list[tuple[float, float]]:
    """Conversion and revenue of each row; the base rates where there is no evidence."""
    evident = [row for row in rows if row is not None]
    if not evident:
        return [usual for _ in rows]
    conversion, revenue = models.predict(evident)
    answers = zip(conversion.tolist(), revenue.tolist(), strict=True)
    return [usual if row is None else next(answers) for row in rows]


def _open(content: bytes) -> Artefact:
    artefact: Artefact = joblib.load(io.BytesIO(content))
    return artefact
