"""The words of the report and the model card: names of figures, and sentences that the figures bear out.

A sentence is made from the numbers each time, so none can outlive the result that it was written for. All
of it is plain text: whoever shows it escapes it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from clickstream.bundles.manifest import Manifest
from clickstream.models.evaluation import Estimate, Evaluation
from clickstream.models.shop.evaluation import ShopEvaluation
from clickstream.records.scorers import SCORERS

PUBLISHED_DATA = "fcc167bbd0badd4c9685bd8543097e318f8228e48075335db7cd781cee88115d"
"""SHA-256 of the data that the published figures were measured on: the CSV of UCI 553."""

SYNTHETIC = "synthetic"
"""Name of data that was drawn, not recorded."""

PublishedInputs = Literal["all", "category columns blank"]

LESS_IS_BETTER = frozenset({"brier", "log_loss", "ece", "mae", "rmse", "davies_bouldin"})

Origin = Literal["dataset", "synthetic", "own"]


class FigureName(NamedTuple):
    """How a figure is called, the places that it is shown with, and what it means."""

    title: str
    places: int
    meaning: str


FIGURES: dict[str, FigureName] = {
    "auc": FigureName("ROC-AUC", 3, "pairs of a converting and another session ranked right; 0.5 is chance"),
    "average_precision": FigureName("PR-AUC", 3, "mean precision over all recalls; the base rate is chance"),
    "brier": FigureName("Brier score", 3, "mean squared error of the probability; less is better"),
    "log_loss": FigureName("log-loss", 3, "cost of the probability in nats; less is better"),
    "ece": FigureName("ECE", 3, "mean gap between forecast and share that converts; less is better"),
    "precision": FigureName("precision", 3, "of the sessions forecast to convert, the share that does"),
    "recall": FigureName("recall", 3, "of the sessions that convert, the share forecast to"),
    "f1": FigureName("F1", 3, "harmonic mean of precision and recall"),
    "lift": FigureName("lift", 1, "how many times as often the tenth with the highest forecasts converts"),
    "r2": FigureName("R² of revenue", 3, "share of the variance explained; 0 is the mean, 1 perfect"),
    "mae": FigureName("MAE of revenue", 2, "mean error, in the currency of the prices"),
    "rmse": FigureName("RMSE of revenue", 2, "root of the mean squared error, in the same currency"),
    "ari": FigureName("ARI", 3, "agreement of the online with the batch clusters; 0 is chance, 1 equal"),
    "silhouette": FigureName("silhouette", 3, "how far apart clusters lie, -1 to 1; more is better"),
    "k": FigureName("number of clusters", 0, ""),
    "davies_bouldin": FigureName("Davies–Bouldin", 3, "spread over distance of clusters; less is better"),
}


def figure_name(name: str) -> FigureName:
    """How a figure is called; one that is not known goes by its own name."""
    if name in FIGURES:
        return FIGURES[name]
    stem, _, rest = name.rpartition("_")
    if rest == "all" and stem in FIGURES:
        known = FIGURES[stem]
        return known._replace(title=f"{known.title}, all sessions")
    return FigureName(name.replace("_", " "), 3, "")


def origin(manifest: Manifest) -> Origin:
    """Whether the models were fitted on the published dataset, on drawn clicks, or on a shop's own."""
    if manifest.data.name == SYNTHETIC:
        return "synthetic"
    return "dataset" if manifest.data.sha256 == PUBLISHED_DATA else "own"


def source_sentence(manifest: Manifest) -> str:
    """What the models were fitted on, and what follows for the figures."""
    match origin(manifest):
        case "dataset":
            return "Fitted on the public E-Shop Clothing 2008 dataset (UCI 553), which holds no purchase."
        case "synthetic":
            return (
                "Fitted on synthetic clicks, drawn at random to the statistics of a dataset. The figures show"
                " that the software works; they say nothing about any shop and are not to be compared with"
                " published ones."
            )
        case "own":
            return (
                f"Fitted on clicks of your own ({manifest.data.name}), not on the file of the public dataset:"
                " these figures and the published ones are of different data and are not to be compared."
            )


def label_sentence() -> str:
    """What a session's label is."""
    return (
        "The labels are a proxy, not a purchase: a session counts as converted when its last click shows a"
        " product priced above the mean of its category (price_2 = 1) or lies on page 4 or deeper, and its"
        " revenue is the price of the product on that click."
    )


def held_out_sentence(manifest: Manifest) -> str:
    """Which sessions the models were evaluated on."""
    split = manifest.split
    if split.kind == "time" and split.held_out_from is not None:
        day = split.held_out_from
        return (
            f"The scorers batch and online learned from the {split.train_sessions:,} sessions before"
            f" {day.day} {day:%B %Y} and were judged on the {split.held_out_sessions:,} from then on."
        )
    return (
        f"The scorers batch and online learned from {split.train_sessions:,} sessions and were judged on"
        f" {split.held_out_sessions:,} others, divided at random."
    )


def summary(manifest: Manifest, evaluation: Evaluation) -> list[str]:
    """What was found, in plain words, a sentence for each finding."""
    sentences = []
    auc = {scorer: estimate(evaluation, scorer, "auc") for scorer in SCORERS}
    if (batch := auc["batch"]) is not None:
        sentences.append(
            "Without the click that decides, the batch model ranks a converting session above another in"
            f" {100 * batch.value:.1f} of 100 pairs ({interval_words(batch, 3, 'AUC')}); guessing gives 50."
        )
    if (reference := auc["reference"]) is not None:
        sentences.append(
            f"The reference model ranks {100 * reference.value:.1f} of 100 right, because that click is among"
            " its inputs: it recovers a rule and foresees nothing."
        )
    if (online := auc["online"]) is not None:
        sentences.append(
            "The online model, which predicts each session before it learns from it, reaches an"
            f" {interval_words(online, 3, 'AUC of')}."
        )
    if (ece := estimate(evaluation, "batch", "ece")) is not None:
        sentences.append(
            f"The batch probabilities are off by {100 * ece.value:.1f} percentage points on average (ECE)."
        )
    if (r2 := estimate(evaluation, "batch", "r2")) is not None:
        mae = estimate(evaluation, "batch", "mae")
        missed = "" if mae is None else f" and misses by {money(manifest, mae.value)} on average"
        explained = percent(r2.value) if r2.value > 0 else "nothing"
        sentences.append(
            f"The batch model's expected revenue explains {explained} of the variance"
            f" ({interval_words(r2, 3, 'R²')}){missed}."
        )
    if evaluation.clusters:
        largest = max(evaluation.clusters, key=lambda cluster: cluster.share)
        sentences.append(
            f"Sessions fall into {len(evaluation.clusters)} clusters, the largest of them {largest.name}"
            f" ({percent(largest.share, 0)}). Clusters describe; they predict nothing."
        )
    return sentences


class PublishedRow(NamedTuple):
    """A figure of a published model: as published, and measured here, by its inputs."""

    model: str
    figure: str
    published: str
    measured: dict[str, float]


PUBLISHED_INPUTS: tuple[PublishedInputs, ...] = ("all", "category columns blank")


def published_rows(manifest: Manifest, evaluation: Evaluation) -> list[PublishedRow]:
    """Figures with all inputs and with the category columns blank side by side; as published for its data."""
    rows: dict[tuple[str, str], PublishedRow] = {}
    for one in evaluation.published:
        row = rows.setdefault((one.model, one.figure), PublishedRow(one.model, one.figure, "", {}))
        as_published = one.published if origin(manifest) == "dataset" else ""
        rows[one.model, one.figure] = row._replace(
            published=row.published or as_published, measured=row.measured | {one.inputs: one.measured}
        )
    return list(rows.values())


def reference_sentences(manifest: Manifest) -> list[str]:
    """Why the published protocol gives what it gives."""
    why = [
        "With all inputs the classifier sees the category and the price of the last click. Together they"
        " determine whether the price lies above the category's mean, which is the label: it reads the answer"
        " from its inputs, and a ROC-AUC of 1 is what a recovered rule gives.",
        "The published run read its category columns as blank. What is left, the price and page of the last"
        " click, still gives away most of the rule for the classifier, and less of the price for the"
        " regressor: that run's figures are those with the category columns blank.",
        "Neither is a forecast. What can be known before the last click is in the rows of batch and online.",
    ]
    if origin(manifest) != "dataset":
        why.append(
            "The published figures are left out here: they were measured on the public dataset, these models"
            " were not fitted on it."
        )
    return why


def short_sessions_sentence(evaluation: Evaluation) -> str:
    """How the published regressor knows a price that is no input of it; empty where training did not say."""
    found = [one for one in evaluation.by_seen if one.scorer == "reference" and one.r2 is not None]
    if len(found) < 2:
        return ""
    fewest, most = (choose(found, key=lambda one: one.fewest) for choose in (min, max))
    if fewest.r2 is None or most.r2 is None:
        return ""
    return (
        "The regressor is not given the last price, but its mean, highest and lowest price include it: the"
        f" fewer clicks, the less they hide it. R² is {number(fewest.r2.value, 3)} for sessions of"
        f" {clicks_words(fewest.fewest, fewest.most)}, {number(most.r2.value, 3)} for those of"
        f" {clicks_words(most.fewest, most.most)}."
    )


def clicks_words(fewest: int, most: int | None) -> str:
    """`1 click`, `2 to 3 clicks`, `10 or more clicks`."""
    if most is None:
        return f"{fewest} or more clicks"
    if fewest == most:
        return f"{fewest} click{'' if fewest == 1 else 's'}"
    return f"{fewest} to {most} clicks"


def beyond_chance(evaluation: Evaluation) -> float | None:
    """Of the AUC above chance that `reference` has, the share that is gone without the deciding click."""
    batch, reference = (estimate(evaluation, scorer, "auc") for scorer in ("batch", "reference"))
    if batch is None or reference is None or reference.value <= 0.5:
        return None
    return 1 - (batch.value - 0.5) / (reference.value - 0.5)


def misuses(manifest: Manifest) -> list[str]:
    """What the models must not be used for."""
    never = [
        "As a forecast of purchases. No purchase is in the labels; conversion and revenue are a proxy, a rule"
        " over the last click.",
        "The scorer reference as a forecast of anything: it sees the click that decides.",
        "To decide about a person: prices, credit, access, service. A session says what was looked at, not"
        " who looked or why.",
        "As revenue in accounts or plans. It is the price of one product on one click.",
        "As psychology. The names of the clusters describe centres of k-means, not intentions.",
        "At another shop, or in another season, without training again: products, categories, prices and"
        " pages are those of the data above.",
    ]
    if origin(manifest) == "synthetic":
        return ["For anything but trying the software: the clicks were drawn at random.", *never]
    return never


def estimate(evaluation: Evaluation | ShopEvaluation, scorer: str, name: str) -> Estimate | None:
    """A figure, if training found it."""
    return evaluation.figures.get(scorer, {}).get(name)


def number(value: float, places: int) -> str:
    """With separators of thousands; no minus before a zero."""
    text = f"{value:,.{places}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text.replace("-", "\N{MINUS SIGN}")


def interval(figure: Estimate, places: int) -> str:
    """`0.614 to 0.643`; empty for a figure without an interval."""
    if figure.low == figure.high:
        return ""
    return f"{number(figure.low, places)} to {number(figure.high, places)}"


def interval_words(figure: Estimate, places: int, name: str) -> str:
    """`AUC 0.628, 95 % interval 0.614 to 0.643`, with `name` before it."""
    bounds = interval(figure, places)
    return f"{name} {number(figure.value, places)}" + (bounds and f", 95 % interval {bounds}")


def percent(share: float, places: int = 1) -> str:
    """A share of one as a percentage, whose sign stays on the line of the number."""
    return f"{number(100 * share, places)}\N{NO-BREAK SPACE}%"


def currency(manifest: Manifest) -> str:
    """The sign of the prices, where it is known."""
    return "" if origin(manifest) == "own" else "$"


def money(manifest: Manifest, value: float) -> str:
    """An amount with its sign, where that is known."""
    return currency(manifest) + number(value, 2)
