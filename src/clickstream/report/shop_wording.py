"""Sentences of the report and the model card of any shop, in the words of its definition.

As in `wording`, each is made from the numbers, and is plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clickstream.bundles.manifest import Manifest
from clickstream.features.definition import Aggregation, Feature, FieldType, ShopDefinition
from clickstream.features.words import goal_in_words
from clickstream.models.evaluation import Estimate
from clickstream.models.shop.evaluation import ShopEvaluation
from clickstream.models.shop.inputs import MOST_CATEGORIES, ShopInputs
from clickstream.report.wording import estimate, interval, interval_words, number, origin, percent

_CHANCE = 0.03
"""Of few sessions the AUC of a coin scatters so far."""

_SHOWN_TEXTS = 12
_LONGEST_TEXT = 40


class KnownInput(NamedTuple):
    """An input of the models, and what they know of its values."""

    name: str
    kind: str
    known: str


def money(definition: ShopDefinition, value: float) -> str:
    """An amount with the shop's currency, where it names one."""
    return number(value, 2) + (f"\N{NO-BREAK SPACE}{definition.currency}" if definition.currency else "")


def label_sentence(definition: ShopDefinition) -> str:
    """What a session's label is."""
    words = goal_in_words(definition)
    proxy = (
        " The log holds no conversion itself: this rule stands for it." if definition.goal.last_click else ""
    )
    return f"{words[0].upper()}{words[1:]}.{proxy}"


def question(definition: ShopDefinition) -> str:
    """What the models are asked, and when."""
    if definition.goal.last_click:
        return (
            "The models are asked before the last click of a session, and see the clicks before it. Sessions"
            " of one click leave nothing to foretell."
        )
    return (
        "The models are asked after each click before the first that meets the goal, and see the clicks so"
        " far: will the goal be met later in the session? Whatever comes after the goal is never seen."
    )


def source_sentence(manifest: Manifest, definition: ShopDefinition) -> str:
    """What the models were fitted on, and what follows for the figures."""
    if origin(manifest) == "synthetic":
        return (
            f"Fitted on made-up sessions of shop {definition.name}, whose chances are known. The figures"
            " show that the software works, and say nothing about any shop."
        )
    return f"Fitted on the log {manifest.data.name} of shop {definition.name}."


def held_out_sentence(manifest: Manifest, evaluation: ShopEvaluation) -> str:
    """Which sessions the models learned from, and which they were judged on."""
    train, held, day = evaluation.train, evaluation.held_out, manifest.split.held_out_from
    since = f", from {day.day} {day:%B %Y} on" if day is not None else ""
    return (
        f"The models learned from the first {train.sessions:,} sessions by time ({train.converted:,} met the"
        f" goal) and were judged on the last {held.sessions:,} ({held.converted:,} met it){since}."
    )


def summary(definition: ShopDefinition, evaluation: ShopEvaluation) -> list[str]:
    """What was found, in plain words, a sentence for each finding."""
    found = [*_conversion(evaluation), *_revenue(definition, evaluation)]
    if evaluation.clusters:
        largest = max(evaluation.clusters, key=lambda one: one.share)
        found.append(
            f"Sessions fall into {len(evaluation.clusters)} clusters, the largest of them {largest.name}"
            f" ({percent(largest.share, 0)}). Clusters describe; they predict nothing."
        )
    return found


def _conversion(evaluation: ShopEvaluation) -> list[str]:
    sentences = []
    batch, online = (estimate(evaluation, scorer, "auc") for scorer in ("batch", "online"))
    alone = evaluation.one_feature
    if batch is not None:
        one = alone.figures.get("auc")
        beside = "" if one is None else f"; {alone.feature} alone {100 * one.value:.1f}"
        sentences.append(
            "The batch model puts a moment before the goal above one of a session without it in"
            f" {100 * batch.value:.1f} of 100 pairs ({interval_words(batch, 3, 'AUC')}); guessing gives"
            f" 50{beside}."
        )
    if online is not None:
        sentences.append(
            "The online model, which predicts each session before it learns from it, reaches an"
            f" {interval_words(online, 3, 'AUC of')}."
        )
    if (lift := estimate(evaluation, "batch", "lift")) is not None:
        sentences.append(
            "In the tenth with the highest forecasts the goal is met"
            f" {number(lift.value, 1)} times as often as in all (95 % interval {interval(lift, 1)})."
        )
    ece, loss = (estimate(evaluation, "batch", name) for name in ("ece", "log_loss"))
    usual = evaluation.base_rate.get("log_loss")
    if ece is not None:
        beside = (
            ""
            if loss is None or usual is None
            else f"; the log-loss is {number(loss.value, 3)}, that of the base rate {number(usual.value, 3)}"
        )
        sentences.append(
            f"The batch probabilities are off by {100 * ece.value:.1f} percentage points on average"
            f" (ECE){beside}."
        )
    return sentences


def _revenue(definition: ShopDefinition, evaluation: ShopEvaluation) -> list[str]:
    r2, mae = (estimate(evaluation, "batch", name) for name in ("r2", "mae"))
    if r2 is None:
        return []
    missed = "" if mae is None else f" and misses by {money(definition, mae.value)} on average"
    explained = percent(r2.value) if r2.value > 0 else "nothing"
    return [
        f"The batch model's expected revenue explains {explained} of the variance"
        f" ({interval_words(r2, 3, 'R²')}){missed}."
    ]


def certainty_sentence(evaluation: ShopEvaluation) -> str:
    """How far few examples carry: what an interval is, and how wide the one that matters most is."""
    held = evaluation.held_out
    rarer = min(held.converted, held.sessions - held.converted)
    auc = estimate(evaluation, "batch", "auc")
    width = (
        "" if auc is None else f", and the AUC of batch is known to ±{number((auc.high - auc.low) / 2, 3)}"
    )
    return (
        f"The rarer kind of held-out session has {rarer:,} examples{width}. Each figure stands with its 95 %"
        " interval by bootstrap over sessions: where two intervals overlap widely, the difference may be"
        " chance. Four times as many sessions halve an interval."
    )


def control_sentence(evaluation: ShopEvaluation) -> str:
    """What the control found."""
    verdict = (
        "This is chance: no sign of a leak."
        if abs(evaluation.shuffled - 0.5) <= _CHANCE
        else "This is further from chance than chance explains: something leaks, or the sessions are too few."
    )
    return (
        "Models were fitted and judged with what follows each session's evidence taken from another session."
        " What was there to be learned is then gone, and the ROC-AUC should be 0.5. It is"
        f" {number(evaluation.shuffled, 3)}. {verdict}"
    )


def inputs_known(definition: ShopDefinition, inputs: ShopInputs) -> list[KnownInput]:
    """Each input in the order of the definition, with what the models know of it."""
    limits = dict(zip(inputs.numbers, inputs.limits, strict=True))
    return [
        KnownInput(feature.name, "text", _texts(inputs.texts[feature.name]))
        if feature.name in inputs.texts
        else KnownInput(feature.name, _kind(definition, feature), f"to ±{limits[feature.name]:,.6g}")
        for feature in definition.features
        if feature.name in inputs.texts or feature.name in limits
    ]


def _kind(definition: ShopDefinition, feature: Feature) -> str:
    first = feature.aggregation in (Aggregation.FIRST, Aggregation.LAST) and feature.field is not None
    return (
        "boolean" if first and definition.field(feature.field or "").type is FieldType.BOOLEAN else "number"
    )


def _texts(known: Sequence[str]) -> str:
    if not known:
        return "no text was seen in training"
    shown = ", ".join(map(_short, known[:_SHOWN_TEXTS]))
    more = f", and {len(known) - _SHOWN_TEXTS:,} more" if len(known) > _SHOWN_TEXTS else ""
    alone = f"; {MOST_CATEGORIES} of them one by one" if len(known) > MOST_CATEGORIES else ""
    return f"{len(known):,} texts: {shown}{more}{alone}"


def _short(text: str) -> str:
    shown = "".join(
        one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text[: _LONGEST_TEXT + 1]
    )
    return shown if len(text) <= _LONGEST_TEXT else f"{shown[:_LONGEST_TEXT]}\N{HORIZONTAL ELLIPSIS}"


def misuses(manifest: Manifest, definition: ShopDefinition) -> list[str]:
    """What the models must not be used for."""
    never = []
    if origin(manifest) == "synthetic":
        never.append("For anything but trying the software: the sessions were drawn at random.")
    if definition.goal.last_click:
        never.append("As a forecast of purchases. The goal is a proxy, a rule over the last click.")
    never += [
        "To decide about a person: prices, credit, access, service. A session says what was looked at, not"
        " who"
        " looked or why.",
        "As psychology. The names of the clusters describe centres of k-means, not intentions.",
        f"At another shop than {definition.name}, with another definition of it, or in another season,"
        " without"
        " training again.",
    ]
    if definition.goal.value is not None:
        never.append("As revenue in accounts or plans: it is an expectation over many sessions.")
    return never


def figure_interval(known: Estimate, places: int) -> str:
    """`0.818 (0.791 to 0.843)`."""
    text = number(known.value, places)
    if known.low == known.high:
        return text
    return f"{text} ({number(known.low, places)} to {number(known.high, places)})"
