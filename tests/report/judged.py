"""An Evaluation as training could have written it, made up: what a test does not say has a plain value."""

from __future__ import annotations

import datetime
from typing import Any

from clickstream.bundles.manifest import (
    BaseRatesEntry,
    ClusterEntry,
    Contents,
    DataSource,
    Manifest,
    SplitEntry,
    seal,
)
from clickstream.models.clusters import NAMES
from clickstream.models.evaluation import (
    BySeen,
    ChoiceOfK,
    ClusterProfile,
    Estimate,
    Evaluation,
    Importance,
    Importances,
    Matching,
    PublishedFigure,
    Reliability,
    RevenueFit,
    Roc,
    TuningTrial,
)
from clickstream.models.matrix import CLUSTERED
from clickstream.report.wording import PUBLISHED_DATA

FIGURES: dict[str, dict[str, tuple[float, float, float]]] = {
    "batch": {
        "auc": (0.6283719, 0.6142, 0.6431),
        "brier": (0.2284, 0.2251, 0.2317),
        "ece": (0.0279, 0.0211, 0.0402),
        "f1": (0.6884, 0.6771, 0.6999),
        "r2": (0.1032, 0.0881, 0.1174),
        "mae": (9.7812, 9.601, 9.964),
    },
    "online": {
        "auc": (0.6199, 0.6052, 0.6344),
        "brier": (0.2291, 0.2260, 0.2322),
        "ece": (0.0312, 0.0240, 0.0431),
        "r2": (0.0981, 0.0829, 0.1127),
        "mae": (9.8, 9.62, 9.99),
        "ari": (0.9512, 0.9443, 0.9581),
    },
    "reference": {"auc": (0.99998, 0.9999, 1.0), "f1": (0.9991, 0.998, 1.0), "r2": (0.5814, 0.561, 0.601)},
    "clusters": {"silhouette": (0.2512, 0.2498, 0.2527), "davies_bouldin": (1.3431, 1.32, 1.37)},
}

_CENTRE = ("session_length", "n_unique_categories", "mean_price", "pct_price2_views")
CENTRES = {
    "long": (30.5, 3.2, 43.1, 0.48),
    "exploratory": (7.2, 2.4, 43.0, 0.5),
    "short_premium": (3.0, 1.1, 53.0, 0.9),
    "short_budget": (3.1, 1.1, 34.0, 0.1),
}
INPUTS = ("last_product", "last_page", "mean_price", "session_length")


def evaluation(**changes: Any) -> Evaluation:
    """A whole Evaluation, with some fields changed."""
    fields: dict[str, Any] = {
        "figures": {
            scorer: {name: Estimate(value=v, low=low, high=high) for name, (v, low, high) in figures.items()}
            for scorer, figures in FIGURES.items()
        },
        "published": [
            PublishedFigure(model="RandomForest", inputs="all", figure="auc", published="", measured=0.99998),
            PublishedFigure(
                model="RandomForest",
                inputs="category columns blank",
                figure="auc",
                published="0.99",
                measured=0.9952,
            ),
        ],
        "roc": {"batch": _roc(1.7), "online": _roc(1.63), "reference": _roc(400.0)},
        "reliability": {
            "batch": _reliability(1.0),
            "batch, uncalibrated": _reliability(0.7),
            "online": _reliability(0.9),
        },
        "revenue": {
            "batch": _revenue(39, 50, 14),
            "online": _revenue(39, 49, 14),
            "reference": _revenue(27, 66, 8),
        },
        "importances": {
            f"{scorer} {outcome}": Importances(
                figure=figure,
                inputs=[
                    Importance(feature=name, mean=0.06 / (place + 1) ** 2, sd=0.003)
                    for place, name in enumerate(INPUTS)
                ],
            )
            for scorer in ("batch", "reference")
            for outcome, figure in (("conversion", "auc"), ("revenue", "r2"))
        },
        "by_seen": [
            BySeen(
                scorer=scorer,
                fewest=fewest,
                most=most,
                sessions=900 - 20 * fewest,
                auc=Estimate(value=base + 0.003 * fewest, low=base - 0.02, high=base + 0.05),
                r2=Estimate(value=0.1, low=0.05, high=0.13),
            )
            for scorer, base in (("batch", 0.61), ("online", 0.605), ("reference", 0.999))
            for fewest, most in ((1, 1), (2, 2), (3, 4), (5, 9), (10, None))
        ],
        "choice_of_k": [
            ChoiceOfK(k=k, silhouette=0.25 - 0.02 * far, davies_bouldin=1.34 + 0.1 * far, inertia=9e4 / k)
            for k, far in ((k, abs(k - 4)) for k in range(2, 9))
        ],
        "clusters": [
            ClusterProfile(
                number=number,
                name=name,
                sessions=sessions,
                share=sessions / 24_026,
                centre=dict.fromkeys(CLUSTERED, 1.0) | dict(zip(_CENTRE, CENTRES[name], strict=True)),
                converted=converted,
                revenue=43.5,
            )
            for number, (name, sessions, converted) in enumerate(
                zip(NAMES, (1_602, 10_120, 6_488, 5_816), (0.6, 0.57, 0.91, 0.11), strict=True)
            )
        ],
        "matching": Matching(
            bundle="20080401T000000Z-0123abcd",
            agreement=0.97,
            same_name=0.9812,
            optimal={name: name for name in NAMES},
        ),
        "shuffled": {"auc": 0.4985, "r2": -0.0013},
        "trials": [
            TuningTrial(
                model="batch conversion", setting=setting, figure="auc", mean=0.62, sd=0.004, chosen=chosen
            )
            for setting, chosen in (("3 leaves", False), ("4 leaves", True), ("8 leaves", False))
        ],
    }
    return Evaluation(**(fields | changes))


def manifest(
    name: str = "e-shop clothing 2008.csv", sha256: str = PUBLISHED_DATA, **changes: Any
) -> Manifest:
    """The manifest of a bundle of no files, trained on the dataset unless said."""
    fields: dict[str, Any] = {
        "data": DataSource(name=name, sha256=sha256, sessions=24_026),
        "split": SplitEntry(
            kind="time",
            held_out_from=datetime.date(2008, 7, 1),
            train_sessions=16_937,
            held_out_sessions=7_089,
        ),
        "seed": 42,
        "base_rates": BaseRatesEntry(conversion=0.5635, revenue=43.6),
        "clusters": [
            ClusterEntry(number=at, name=name, sessions=1, share=0.25) for at, name in enumerate(NAMES)
        ],
        "figures": {},
        "online_classes": [],
    }
    contents = Contents(**(fields | changes))
    return seal(contents, {}, datetime.datetime(2026, 11, 24, 2, 0, tzinfo=datetime.UTC))


def _roc(bend: float) -> Roc:
    steps = [at / 40 for at in range(41)]
    return Roc(false_positive_rate=steps, true_positive_rate=[1 - (1 - step) ** bend for step in steps])


def _reliability(slope: float) -> Reliability:
    forecast = [0.05 + 0.1 * at for at in range(2, 9)]
    return Reliability(
        forecast=forecast,
        observed=[0.56 + slope * (one - 0.56) for one in forecast],
        sessions=[80, 420, 1_000, 1_700, 1_400, 800, 185],
    )


def _revenue(low: float, high: float, spread: float) -> RevenueFit:
    expected = [low + (high - low) * at / 9 for at in range(10)]
    return RevenueFit(
        expected=expected,
        actual=[one + (0.8 if at % 2 else -0.6) for at, one in enumerate(expected)],
        low=[one - spread for one in expected],
        high=[one + 0.6 * spread for one in expected],
        sessions=[558] * 10,
    )
