"""Clusters of any shop: k-means on the features that its file names, and names that say what sets one apart.

A name is made by a rule from the centre alone, so it means the same after a refit, whatever numbers k-means
gives: the features in which the centre is furthest from the mean of all sessions, in standard deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import davies_bouldin_score

from clickstream.features.definition import Aggregation, Feature, ShopDefinition
from clickstream.features.vector import Features
from clickstream.models.case import Artefact, Floats
from clickstream.models.clusters import CANDIDATES, INITIALISATIONS
from clickstream.models.evaluation import ChoiceOfK
from clickstream.models.figures import silhouettes
from clickstream.models.shop.examples import FeatureTable

ORDINARY = 0.5
"""Standard deviations within which a centre is like all sessions."""

_COUNTED = (Aggregation.COUNT, Aggregation.DISTINCT, Aggregation.CHANGES)
_TIMES = {
    "since first": "visits",
    "since previous": "last pauses",
    "mean since previous": "pauses",
    "max since previous": "longest pauses",
}


class ShopClusters:
    """Fitted k-means.

    Attributes:
        features: what it looks at.
        names: of the clusters; the number of a cluster is a place in it.
        mean, scale: of the features in training, shape (f,).
        centres: standardised, shape (k, f).
    """

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        self.features: tuple[str, ...] = artefact["features"]
        self.names: tuple[str, ...] = artefact["names"]
        self.mean: Floats = artefact["mean"]
        self.scale: Floats = artefact["scale"]
        self.centres: Floats = artefact["centres"]
        self._standard = list(zip(self.features, self.mean.tolist(), self.scale.tolist(), strict=True))

    def point(self, row: Features) -> dict[int, float]:
        """The standardised features of a session, by position; one that is null is taken as the mean."""
        return {
            at: 0.0 if row[name] is None else (row[name] - mean) / scale
            for at, (name, mean, scale) in enumerate(self._standard)
        }

    def assign(self, standardised: Floats) -> NDArray[np.intp]:
        """The number of the centre nearest to each row, shape (n,)."""
        # Row by row the same sum: the shape of a batch leaves no trace.
        distances = ((standardised[:, None, :] - self.centres) ** 2).sum(axis=2)
        nearest: NDArray[np.intp] = distances.argmin(axis=1)
        return nearest

    def predict(self, rows: Sequence[Features]) -> list[int]:
        """The number of the cluster of each session; a row has its features over all clicks."""
        points = np.array([list(self.point(row).values()) for row in rows]).reshape(len(rows), -1)
        return [int(number) for number in self.assign(points)]

    def standardise(self, table: FeatureTable) -> Floats:
        """The f features of each session in standard deviations from their mean, shape (n, f)."""
        return _standardised(table, self.features, self.mean, self.scale)


class ShopChoice(NamedTuple):
    """The clusters with the best number of them, and how every number did."""

    clusters: ShopClusters
    by_k: list[ChoiceOfK]


def choose_shop_clusters(definition: ShopDefinition, table: FeatureTable, seed: int) -> ShopChoice:
    """Fit k-means for each k of CANDIDATES and take the one with the largest silhouette (Rousseeuw 1987).

    Args:
        table: whole sessions of training.
    """
    columns = np.column_stack([table.column(name) for name in definition.clustered])
    seen = ~np.isnan(columns)
    filled = np.where(seen, columns, 0.0)
    n = np.maximum(seen.sum(axis=0), 1)
    mean = filled.sum(axis=0) / n
    scale = np.sqrt((np.where(seen, columns - mean, 0.0) ** 2).sum(axis=0) / n)
    scale[scale == 0.0] = 1.0
    standardised = _standardised(table, definition.clustered, mean, scale)
    different = len(np.unique(standardised, axis=0))
    ks = [k for k in CANDIDATES if k < different]
    fitted = {k: KMeans(k, n_init=INITIALISATIONS, random_state=seed).fit(standardised) for k in ks or [1]}
    by_k = []
    if ks:
        labels = [fitted[k].labels_ for k in ks]
        by_k = [
            ChoiceOfK(
                k=k,
                silhouette=float(silhouette.mean()),
                davies_bouldin=float(davies_bouldin_score(standardised, fitted[k].labels_)),
                inertia=float(fitted[k].inertia_),
            )
            for k, silhouette in zip(ks, silhouettes(standardised, labels, seed), strict=True)
        ]
    best = max(by_k, key=lambda choice: choice.silhouette).k if by_k else 1
    centres = fitted[best].cluster_centers_
    names = cluster_names([definition.feature(name) for name in definition.clustered], centres)
    order = sorted(range(best), key=names.__getitem__)
    artefact = {
        "features": definition.clustered,
        "names": tuple(names[row] for row in order),
        "mean": mean,
        "scale": scale,
        "centres": centres[order],
    }
    return ShopChoice(ShopClusters(artefact), by_k)


def cluster_names(features: Sequence[Feature], centres: Floats) -> list[str]:
    """Give each centre a name, no two of them alike.

    The name says what sets it apart most, as "many carts", by as many features as tell it from the others.

    Args:
        centres: standardised, shape (k, len(features)).
    """
    said = [list(_distinctions(features, centre)) for centre in centres]
    lengths = [1] * len(said)
    while True:
        names = [", ".join(words[:length]) for words, length in zip(said, lengths, strict=True)]
        alike = [row for row, name in enumerate(names) if names.count(name) > 1]
        longer = [row for row in alike if lengths[row] < len(said[row])]
        if not longer:
            break
        for row in longer:
            lengths[row] += 1
    numbers = {name: count(1) for name in names if names.count(name) > 1}
    return [f"{name} ({next(numbers[name])})" if name in numbers else name for name in names]


def _distinctions(features: Sequence[Feature], centre: Floats) -> list[str]:
    order = np.argsort(-np.abs(centre), kind="stable").tolist()
    words = [_word(features[at], centre[at] > 0) for at in order if abs(centre[at]) >= ORDINARY]
    return words or ["ordinary", *(_word(features[at], centre[at] > 0) for at in order)]


def _word(feature: Feature, more: bool) -> str:
    name = feature.name.replace("_", " ")
    if feature.aggregation in _COUNTED:
        return f"{'many' if more else 'few'} {name}"
    if feature.seconds is not None:
        what = _TIMES[feature.seconds] if feature.where is None else name
        return f"{'long' if more else 'short'} {what}"
    return f"{'high' if more else 'low'} {name}"


def _standardised(table: FeatureTable, features: Sequence[str], mean: Floats, scale: Floats) -> Floats:
    columns = np.column_stack([table.column(name) for name in features])
    standardised: Floats = np.nan_to_num((columns - mean) / scale, nan=0.0)
    return standardised
