"""Behavioural clusters: k-means over the whole session, and names that survive a refit.

The numbers that k-means gives are arbitrary and change with the seed; the clusters are stable. So a number
here is a place in NAMES, found by a rule on the centres, and means the same in every bundle. The names
describe centres; they are an interpretation, and they predict nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import davies_bouldin_score
from sklearn.preprocessing import StandardScaler

from clickstream.features.vector import Features
from clickstream.models.case import Artefact, Floats
from clickstream.models.evaluation import ChoiceOfK, Matching
from clickstream.models.figures import cluster_agreement, silhouettes
from clickstream.models.matrix import CLUSTERED, numbers

NAMES = ("long", "exploratory", "short_premium", "short_budget")

INITIALISATIONS = 10

CANDIDATES = range(2, 9)
"""Numbers of clusters that are compared."""


def canonical_order(centres: Floats) -> list[int]:
    """For each of NAMES, the row of `centres` that it is the name of.

    The longest sessions are `long`; of the rest, those that see most categories `exploratory`; of the last
    two, the ones at higher prices `short_premium`.

    Args:
        centres: shape (4, 17), columns CLUSTERED, in original units.
    """
    length = centres[:, CLUSTERED.index("session_length")]
    categories = centres[:, CLUSTERED.index("n_unique_categories")]
    price = centres[:, CLUSTERED.index("mean_price")]
    rest = list(range(len(centres)))
    order = []
    for measure in (length, categories, price):
        largest = max(rest, key=lambda row: measure[row])
        order.append(largest)
        rest.remove(largest)
    return order + rest


class Clusters:
    """Fitted k-means with canonical numbers.

    Attributes:
        names: of the clusters, by number.
        mean, scale: of the 17 inputs in training, shape (17,).
        centres: standardised, in the order of NAMES, shape (4, 17).
    """

    names = NAMES

    def __init__(self, artefact: Artefact) -> None:
        scaler, kmeans = artefact["scaler"], artefact["kmeans"]
        self.artefact = artefact
        self.mean: Floats = scaler.mean_
        self.scale: Floats = scaler.scale_
        raw: Floats = kmeans.cluster_centers_
        self.centres: Floats = raw[canonical_order(raw * self.scale + self.mean)]

    def standardise(self, rows: Sequence[Features]) -> Floats:
        """The 17 inputs of each session in standard deviations from their mean, shape (n, 17)."""
        standardised: Floats = (numbers(rows, CLUSTERED) - self.mean) / self.scale
        return standardised

    def assign(self, standardised: Floats) -> NDArray[np.intp]:
        """The cluster with the nearest centre, as a position in NAMES, for each row of shape (n, 17)."""
        # scikit-learn expands the square and multiplies matrices, which rounds by the shape of the batch.
        distances = ((standardised[:, None, :] - self.centres) ** 2).sum(axis=2)
        nearest: NDArray[np.intp] = distances.argmin(axis=1)
        return nearest

    def predict(self, rows: Sequence[Features]) -> list[int]:
        """The cluster of each session, as a position in NAMES; a row has its features over all clicks."""
        return [int(number) for number in self.assign(self.standardise(rows))]


class ClusterChoice(NamedTuple):
    """The clusters with k = 4, and how every other k would have done."""

    clusters: Clusters
    by_k: list[ChoiceOfK]

    @property
    def best(self) -> int:
        """The number of clusters that has the largest silhouette."""
        return max(self.by_k, key=lambda choice: choice.silhouette).k


def fit_clusters(rows: Sequence[Features], seed: int) -> Clusters:
    """Fit k-means with k = 4 to standardised features of set `reference`."""
    matrix = numbers(rows, CLUSTERED)
    scaler = StandardScaler().fit(matrix)
    return Clusters({"scaler": scaler, "kmeans": _kmeans(scaler.transform(matrix), len(NAMES), seed)})


def choose_clusters(rows: Sequence[Features], seed: int) -> ClusterChoice:
    """Fit the clusters, and evaluate every k of CANDIDATES on the same sessions.

    The names are for four clusters, so four are used, whatever is best.
    """
    matrix = numbers(rows, CLUSTERED)
    scaler = StandardScaler().fit(matrix)
    standardised = scaler.transform(matrix)
    fitted = [_kmeans(standardised, k, seed) for k in CANDIDATES]
    labels = [kmeans.labels_ for kmeans in fitted]
    by_k = [
        ChoiceOfK(
            k=k,
            silhouette=float(silhouette.mean()),
            davies_bouldin=float(davies_bouldin_score(standardised, kmeans.labels_)),
            inertia=float(kmeans.inertia_),
        )
        for k, kmeans, silhouette in zip(
            CANDIDATES, fitted, silhouettes(standardised, labels, seed), strict=True
        )
    ]
    chosen = Clusters({"scaler": scaler, "kmeans": fitted[CANDIDATES.index(len(NAMES))]})
    return ClusterChoice(chosen, by_k)


def match(here: Sequence[int], there: Sequence[int], bundle: str) -> Matching:
    """Compare the clusters that two bundles put the same sessions into; `bundle` is the id of the other one.

    The names come from a rule on the centres. The matching that makes most sessions agree (Kuhn 1955) is
    found without it, so where both say the same, the names did survive.
    """
    counts = np.zeros((len(NAMES), len(NAMES)), dtype=np.intp)
    np.add.at(counts, (np.asarray(here, dtype=np.intp), np.asarray(there, dtype=np.intp)), 1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return Matching(
        bundle=bundle,
        agreement=cluster_agreement(here, there),
        same_name=float(np.trace(counts) / counts.sum()),
        optimal={NAMES[row]: NAMES[column] for row, column in zip(rows, columns, strict=True)},
    )


def _kmeans(standardised: Floats, k: int, seed: int) -> KMeans:
    return KMeans(n_clusters=k, n_init=INITIALISATIONS, random_state=seed).fit(standardised)
