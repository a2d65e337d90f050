"""Behavioural clusters: k-means over the whole session, and names that survive a refit.

The numbers that k-means gives are arbitrary and change with the seed; the clusters are stable. So a number
here is a place in NAMES, found by a rule on the centres, and means the same in every bundle. The names
describe centres; they are an interpretation, and they predict nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from clickstream.features.vector import Features
from clickstream.models.case import Artefact, Floats
from clickstream.models.matrix import CLUSTERED, numbers

NAMES = ("long", "exploratory", "short_premium", "short_budget")

INITIALISATIONS = 10


def canonical_order(centres: Floats) -> list[int]:
    """Which row of `centres` is each of NAMES.

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
        mean, scale: of the 17 inputs in training, shape (17,).
        centres: standardised, in the order of NAMES, shape (4, 17).
    """

    def __init__(self, artefact: Artefact) -> None:
        scaler, kmeans = artefact["scaler"], artefact["kmeans"]
        self.artefact = artefact
        self.mean: Floats = scaler.mean_
        self.scale: Floats = scaler.scale_
        raw: Floats = kmeans.cluster_centers_
        self.centres: Floats = raw[canonical_order(raw * self.scale + self.mean)]

    def standardise(self, rows: Sequence[Features]) -> Floats:
        """Shape (n, 17)."""
        standardised: Floats = (numbers(rows, CLUSTERED) - self.mean) / self.scale
        return standardised

    def assign(self, standardised: Floats) -> NDArray[np.intp]:
        """The nearest centre of each row, as a place in NAMES, shape (n,)."""
        # scikit-learn expands the square and multiplies matrices, which rounds by the shape of the batch.
        distances = ((standardised[:, None, :] - self.centres) ** 2).sum(axis=2)
        nearest: NDArray[np.intp] = distances.argmin(axis=1)
        return nearest

    def predict(self, rows: Sequence[Features]) -> list[int]:
        """The cluster of each row."""
        return [int(number) for number in self.assign(self.standardise(rows))]


def fit_clusters(rows: Sequence[Features], seed: int) -> Clusters:
    """k-means with k = 4 on standardised features of set `reference`."""
    matrix = numbers(rows, CLUSTERED)
    scaler = StandardScaler().fit(matrix)
    kmeans = KMeans(n_clusters=len(NAMES), n_init=INITIALISATIONS, random_state=seed)
    kmeans.fit(scaler.transform(matrix))
    return Clusters({"scaler": scaler, "kmeans": kmeans})
