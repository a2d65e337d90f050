"""The bundle: the artefact of training on disk, and the scorers read from it.

A bundle is a folder: `manifest.json` and the files that it names. It is written whole under a temporary
name and renamed, so a reader finds all of it or nothing. It is verified whole before any pickle is opened,
see verification.py; the evaluation and the reports are checked with the rest, and not parsed.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import joblib
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from clickstream.bundles.champion import bundles_of, locate
from clickstream.bundles.manifest import Manifest
from clickstream.bundles.shop import check_shop, definition_of
from clickstream.bundles.signature import signing_key
from clickstream.bundles.store import bring
from clickstream.bundles.verification import VerifiedBundle, verify
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop_file import UCI553_NAME
from clickstream.features.vector import Features
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings
from clickstream.models.case import Artefact, Case, Floats, ScorerOutput, predictions
from clickstream.models.clusters import Clusters
from clickstream.models.inputs import Vocabulary
from clickstream.models.matrix import Cases
from clickstream.models.online import BaseRates, Global, OnlineModels, read_online_state
from clickstream.models.scorers import FITTED, LEARNER, REGISTRY, FittedModels, Scorer
from clickstream.models.shop.batch import ShopBatch
from clickstream.models.shop.clusters import ShopClusters
from clickstream.models.shop.inputs import ShopInputs
from clickstream.models.shop.online import ShopOnline
from clickstream.models.uci_online import UciOnlineModels
from clickstream.records.shops import load_shop

__all__ = ["Bundle", "Case", "Manifest", "ScorerOutput", "load_bundle", "open_bundle"]

_OpenOnline = Callable[[Collection[Global], bytes], OnlineModels]
"""Makes online models of a pickle, which may refer to these classes alone."""

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


class SessionClusters(Protocol):
    """The clusters that whole sessions fall into: k centres, each a row of f inputs."""

    mean: Floats
    scale: Floats
    centres: Floats

    @property
    def names(self) -> Sequence[str]:
        """The name of each cluster, by its number."""
        ...

    def assign(self, standardised: Floats) -> NDArray[np.intp]:
        """The number of the centre nearest to each row, shape (n,). `standardised` has the shape (n, f)."""
        ...

    def predict(self, rows: Sequence[Features]) -> list[int]:
        """The number of the cluster that each session falls into; a row is its features over all clicks."""
        ...


class Bundle:
    """A verified bundle, ready to score the sessions of its shop. `load_bundle` makes one.

    A session is a Case: the features of its evidence, which conversion and revenue see, and those of all its
    clicks, which the cluster sees. While it is open both are the same.

    >>> from clickstream import Settings, load_bundle
    >>> bundle = load_bundle(Settings())
    >>> sorted(bundle.fitted), [cluster.name for cluster in bundle.manifest.clusters][:2]
    (['batch', 'reference'], ['long', 'exploratory'])

    Attributes:
        id: name of the bundle, which sorts by time of training.
        path: its folder.
        manifest: everything known about it.
        shop: the definition of the shop.
        fitted: the models of each scorer that does not learn in the stream.
        clusters: of all scorers.
        vocabulary: the values that the models of shop uci553 know; empty for any other.
    """

    def __init__(self, path: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
        self.id = manifest.id
        self.path = path
        self.manifest = manifest
        self.shop = definition_of(manifest, files)
        self.vocabulary = Vocabulary(values={}, limits={})
        self.clusters: SessionClusters
        self.fitted: Mapping[str, FittedModels]
        self._warm_start = files[LEARNER.file]
        self._base_rates = BaseRates(manifest.base_rates.conversion, manifest.base_rates.revenue)
        # Asked for once: looking for the loaded thread pools costs as much as scoring a session.
        self._threads = ThreadpoolController()
        if manifest.shop is None:
            self._open_models_of_uci553(files)
        else:
            self._open_models_of_any_shop(files)

    def _open_models_of_uci553(self, files: dict[str, bytes]) -> None:
        vocabulary = self.vocabulary = Vocabulary.model_validate_json(files["inputs.json"])
        clusters = self.clusters = Clusters(_open(files["clusters.joblib"]))
        self.fitted = {
            scorer.name: scorer.opened(_open(files[scorer.file]), vocabulary)
            for scorer in FITTED
            if scorer.opened is not None
        }
        self._open_online: _OpenOnline = partial(
            UciOnlineModels, self.id, vocabulary, clusters, self._base_rates
        )

    def _open_models_of_any_shop(self, files: dict[str, bytes]) -> None:
        inputs = ShopInputs.model_validate_json(files["inputs.json"])
        clusters = self.clusters = ShopClusters(_open(files["clusters.joblib"]))
        self.fitted = {"batch": ShopBatch(_open(files["batch.joblib"]), self.shop, inputs)}
        self._open_online = partial(ShopOnline, self.id, inputs, clusters, self._base_rates)

    def predict(
        self, cases: Sequence[Case], only: Collection[str] | None = None
    ) -> list[dict[str, ScorerOutput]]:
        """What the fitted scorers say of each case, in order: all but the one that learns in the stream.

        Each model is asked once for the whole list, on one thread. The answers do not depend on which cases
        stand together in a list. `only` names the scorers to ask, where not all of them are.
        """
        if not cases:
            return []
        with self._threads.limit(limits=1, user_api="openmp"):
            known = Cases.of(cases)
            clusters = self.clusters.predict(known.whole)
            answers = {
                name: self._ask(models, known, REGISTRY[name])
                for name, models in self.fitted.items()
                if only is None or name in only
            }
        names = self.clusters.names
        said = [predictions(*of, clusters, names) for of in answers.values()]
        return [dict(zip(answers, of, strict=True)) for of in zip(*said, strict=True)]

    def _ask(self, models: FittedModels, cases: Cases, scorer: Scorer) -> tuple[Floats, Floats | None]:
        """Conversion and revenue of each case, shape (n,); the base rates where there is no evidence."""
        if scorer.sees_all:
            return models.predict(cases.whole)
        conversion = np.full(len(cases), self._base_rates.conversion)
        rate = self._base_rates.revenue
        revenue = None if rate is None else np.full(len(cases), rate)
        if cases.evidence:
            conversion[cases.seen], earning = models.predict(cases.evidence)
            if revenue is not None and earning is not None:
                revenue[cases.seen] = earning
        return conversion, revenue

    def online(self, state: bytes | None = None) -> OnlineModels:
        """The River models: as training left them, or as they were when they gave `state`.

        Raises:
            BundleError: the state belongs to another bundle, is damaged, or refers to a class that the online
                models of this bundle do not hold. No such class was resolved.
        """
        lessons, payload = (0, self._warm_start) if state is None else read_online_state(state, self.id)
        models = self._open_online(frozenset(self.manifest.online_classes), payload)
        models.lessons = lessons
        return models


def load_bundle(
    source: Settings | Path, name: str | Path | None = None, shop: ShopDefinition | None = None
) -> Bundle:
    """Verify a bundle and read it.

    Args:
        source: the settings, or the folder that holds all bundles: then no signature is asked for.
        name: `champion`, a bundle id, or the path of a bundle; by default what the settings name.
        shop: whose bundle it must be; by default the one that the settings name, without settings uci553.

    Raises:
        BundleError: it is missing, damaged, made for other versions or features, of another shop, or not
            signed with the key of the settings; says what differs and what to do. No pickle was opened.
        ConfigurationError: the settings have a key, a shop or a store that cannot be used.
        UnavailableError: the store of bundles does not answer.

    >>> from clickstream import Settings, load_bundle
    >>> settings = Settings()
    >>> load_bundle(settings).id == load_bundle(settings.bundles, "champion").id
    True
    >>> load_bundle(settings, "20080813T000000Z-00000000")
    Traceback (most recent call last):
    clickstream.infra.errors.BundleError: ...
    """
    return open_bundle(find_bundle(source, name, shop))


def find_bundle(
    source: Settings | Path, name: str | Path | None = None, shop: ShopDefinition | None = None
) -> VerifiedBundle:
    """The bundle that `load_bundle` reads, verified and not opened."""
    if shop is None:
        shop = load_shop(source.shop if isinstance(source, Settings) else UCI553_NAME).definition
    folder, key = place(source, shop.name)
    if name is None:
        name = source.bundle if isinstance(source, Settings) else "champion"
    if isinstance(source, Settings):
        bring(source, shop.name, name)
    verified = verify(locate(folder, name), key)
    check_shop(verified.manifest, shop, f"bundle {verified.path}")
    return verified


def open_bundle(verified: VerifiedBundle) -> Bundle:
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


def place(source: Settings | Path, shop: str = UCI553_NAME) -> tuple[Path, bytes | None]:
    """The folder of all bundles of a shop, and the key that they must be signed with."""
    folder, key = (source.bundles, signing_key(source)) if isinstance(source, Settings) else (source, None)
    return bundles_of(folder, shop), key


def _open(content: bytes) -> Artefact:
    artefact: Artefact = joblib.load(io.BytesIO(content))
    return artefact
