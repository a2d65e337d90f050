"""The River models: predict a session, then learn from it.

Warm-started by training on its own training sessions in time order; afterwards each partition learns from
the sessions that it closes. Conversion and revenue look at set `prefix`, clusters at set `reference`.

Guarantees: after `state()` and a restore, every prediction is bit-identical, in another process too. That
is why features have whole numbers for names: a set of strings iterates differently in every process, and
River's k-means adds up distances over such a set. Restoring resolves no name outside a given list.
"""

from __future__ import annotations

import io
import math
import pickle
import zlib
from collections.abc import Collection
from operator import itemgetter
from typing import Any, NamedTuple

from river import cluster, linear_model, optim, preprocessing

from clickstream.features.outcome import Outcome
from clickstream.features.vector import Features
from clickstream.infra.errors import BundleError
from clickstream.models.case import Case, Prediction, prediction
from clickstream.models.clusters import NAMES, Clusters
from clickstream.models.inputs import Vocabulary
from clickstream.models.matrix import CATEGORICAL, CLUSTERED, PUBLISHED

Inputs = dict[int, float]

RATE = 0.02
L2 = 1e-4

# A product is seen in one of two hundred sessions. At 1 its weight would hardly move within a season;
# standardised it would be 15, and rare products would shout.
PRODUCT_VALUE = 5.0

# The share of the way to a session that its nearest centre moves. Half of a centre is new after 350 sessions.
HALFLIFE = 0.002

_INTERCEPT = len(PUBLISHED)

_STATE = b"clickstream-online-1"

# What unpickling damaged bytes may raise, by the documentation of `pickle` and by trial.
_UNREADABLE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
)

_Models = tuple[Any, Any, Any, dict[int, Inputs]]

Global = tuple[str, str]
"""(module, name) of a class that a pickle refers to."""


class BaseRates(NamedTuple):
    """Share of converted sessions and mean revenue in training: the answer where there is no evidence."""

    conversion: float
    revenue: float


class _Evidence(NamedTuple):
    """The numbers of set `prefix`; standardised, with indicators; as they are, with indicators."""

    plain: Inputs
    scaled: Inputs
    linear: Inputs


class _Prepared(NamedTuple):
    evidence: _Evidence | None
    standardised: Inputs


class _KMeans(cluster.KMeans):  # type: ignore[misc]
    """River's k-means, with its search for the nearest centre in C: a fifth of a session's time.

    Points and centres name the same inputs in the same order.
    """

    def predict_one(self, x: Inputs) -> int:
        point = tuple(x.values())
        centers: dict[int, Inputs] = self.centers
        return min(centers, key=lambda number: math.dist(tuple(centers[number].values()), point))


class OnlineModels:
    """The three River models of one partition.

    Attributes:
        bundle_id: the bundle whose warm start these models began from.
        lessons: sessions learned since the warm start.
    """

    def __init__(
        self,
        bundle_id: str,
        vocabulary: Vocabulary,
        clusters: Clusters,
        base_rates: BaseRates,
        allowed: Collection[Global] = (),
        payload: bytes | None = None,
    ) -> None:
        """Models restored from `payload`, or, without one, models that have seen nothing.

        Raises:
            BundleError: `payload` is unreadable or holds a class outside `allowed`.
        """
        self.bundle_id = bundle_id
        self.lessons = 0
        self._base_rates = base_rates
        self._numbers = itemgetter(*PUBLISHED)
        self._limits = [vocabulary.limits[name] for name in PUBLISHED]
        self._revenue_limit = vocabulary.limits["last_price"]
        self._clustered = itemgetter(*CLUSTERED)
        self._standard = [
            (mean, scale, vocabulary.limits[name])
            for name, mean, scale in zip(
                CLUSTERED, clusters.mean.tolist(), clusters.scale.tolist(), strict=True
            )
        ]
        self._indicators, first_product = _places(vocabulary)
        self._products = {
            product: first_product + at for product, at in vocabulary.positions["last_product"].items()
        }
        self._kmeans: Any = _KMeans(n_clusters=len(NAMES), halflife=HALFLIFE, seed=0)
        models = _begin(clusters, first_product) if payload is None else _restore(payload, allowed)
        self._scaler, self._conversion, self._revenue, self._kmeans.centers = models
        self._prepared: tuple[Case, _Prepared] | None = None

    def predict(self, case: Case) -> Prediction:
        """What the models answer now."""
        prepared = self._prepare(case)
        # A session is learned right after it was predicted; between the two nothing moves.
        self._prepared = case, prepared
        conversion, revenue = self._base_rates
        if prepared.evidence is not None:
            conversion = self._conversion.predict_proba_one(prepared.evidence.scaled)[True]
            revenue = self._revenue.predict_one(prepared.evidence.linear)
        number = self._kmeans.predict_one(prepared.standardised)
        return prediction(conversion, revenue, number, NAMES[number])

    def learn(self, case: Case, outcome: Outcome) -> None:
        """Learn what became of a session. Without evidence only the clusters learn."""
        last = self._prepared
        prepared = last[1] if last is not None and last[0] is case else self._prepare(case)
        self._prepared = None
        if prepared.evidence is not None:
            plain, scaled, linear = prepared.evidence
            self._scaler.learn_one(plain)
            self._conversion.learn_one(scaled, outcome.converted)
            self._revenue.learn_one(linear, min(outcome.revenue, self._revenue_limit))
        self._kmeans.learn_one(prepared.standardised)
        self.lessons += 1

    def state(self) -> bytes:
        """Everything learned, about 25 KB; `Bundle.online` reads it back."""
        payload = self.payload()
        head = b"%s %s %d %d\n" % (_STATE, self.bundle_id.encode(), self.lessons, zlib.crc32(payload))
        return head + payload

    def payload(self) -> bytes:
        """The models alone, pickled: the file of a bundle."""
        models = (self._scaler, self._conversion, self._revenue, self._kmeans.centers)
        return pickle.dumps(models, protocol=5)

    def _prepare(self, case: Case) -> _Prepared:
        standardised = {
            at: ((value if value <= limit else limit) - mean) / scale
            for at, (value, (mean, scale, limit)) in enumerate(
                zip(self._clustered(case.reference), self._standard, strict=True)
            )
        }
        return _Prepared(None if case.prefix is None else self._evidence(case.prefix), standardised)

    def _evidence(self, prefix: Features) -> _Evidence:
        plain = {
            at: value if value <= limit else limit
            for at, (value, limit) in enumerate(zip(self._numbers(prefix), self._limits, strict=True))
        }
        scaled: Inputs = self._scaler.transform_one(plain)
        linear = {**plain, _INTERCEPT: 1.0}
        for name, places in self._indicators:
            place = places.get(prefix[name])
            if place is not None:
                scaled[place] = linear[place] = 1.0
        product = self._products.get(prefix["last_product"])
        if product is not None:
            scaled[product] = PRODUCT_VALUE
        return _Evidence(plain, scaled, linear)


def read_state(state: bytes, bundle_id: str) -> tuple[int, bytes]:
    """Lessons and payload of `OnlineModels.state`, opened no further.

    Raises:
        BundleError: the bytes are no such state, are damaged, or belong to another bundle.
    """
    head, _, payload = state.partition(b"\n")
    parts = head.split(b" ")
    if len(parts) != 4 or parts[0] != _STATE or not (parts[2].isdigit() and parts[3].isdigit()):
        raise BundleError(
            f"the online state ({len(state)} bytes, starting {state[:24]!r}) is none that this version wrote",
            "Delete it: the models begin again from the bundle's warm start.",
        )
    owner = parts[1].decode(errors="replace")
    if owner != bundle_id:
        raise BundleError(
            f"the online state belongs to bundle {owner}, in use is {bundle_id}",
            f"Use bundle {owner} again, or delete the state to begin from the warm start of {bundle_id}.",
        )
    if zlib.crc32(payload) != int(parts[3]):
        raise BundleError(
            f"the online state of bundle {bundle_id} is damaged: its checksum does not match",
            "Delete it: the models begin again from the bundle's warm start.",
        )
    return int(parts[2]), payload


def globals_of(payload: bytes) -> list[Global]:
    """The classes that a payload of our own making refers to. Never ask this of bytes from elsewhere."""
    reader = _Recorder(io.BytesIO(payload))
    reader.load()
    return sorted(reader.seen)


class _Recorder(pickle.Unpickler):
    def __init__(self, source: io.BytesIO) -> None:
        super().__init__(source)
        self.seen: set[Global] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.seen.add((module, name))
        return super().find_class(module, name)


class _Restricted(pickle.Unpickler):
    def __init__(self, source: io.BytesIO, allowed: Collection[Global]) -> None:
        super().__init__(source)
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise BundleError(
                f"the online state refers to {module}.{name}, which the bundle's own models do not hold",
                "These models did not write it. Find out who writes to the store, then delete the state.",
            )
        return super().find_class(module, name)


def _begin(clusters: Clusters, inputs: int) -> _Models:
    revenue = linear_model.BayesianLinearRegression()
    # A lesson of zeros changes nothing but names every input, so the matrices never outgrow their size.
    revenue.learn_one(dict.fromkeys(range(inputs), 0.0), 0.0)
    return (
        preprocessing.StandardScaler(),
        linear_model.LogisticRegression(optim.AdaGrad(RATE), l2=L2),
        revenue,
        {number: dict(enumerate(centre)) for number, centre in enumerate(clusters.centres.tolist())},
    )


def _restore(payload: bytes, allowed: Collection[Global]) -> _Models:
    try:
        models = _Restricted(io.BytesIO(payload), allowed).load()
    except _UNREADABLE as error:
        raise BundleError(
            f"the online models cannot be read: {type(error).__name__}: {error}",
            "Delete the state: the models begin again from the bundle's warm start.",
        ) from error
    kinds = (
        preprocessing.StandardScaler,
        linear_model.LogisticRegression,
        linear_model.BayesianLinearRegression,
        dict,
    )
    if not isinstance(models, tuple) or tuple(map(type, models)) != kinds:
        raise BundleError(
            "the online state holds something other than the three models",
            "Delete it: the models begin again from the bundle's warm start.",
        )
    scaler, conversion, revenue, centres = models
    return scaler, conversion, revenue, centres


def _places(vocabulary: Vocabulary) -> tuple[list[tuple[str, dict[int | str, int]]], int]:
    """A place for each value of each category and page, after the numbers and the intercept; the next one."""
    free = _INTERCEPT + 1
    indicators = []
    for name in CATEGORICAL:
        positions = vocabulary.positions[name]
        indicators.append((name, {value: free + at for value, at in positions.items()}))
        free += len(positions)
    return indicators, free
