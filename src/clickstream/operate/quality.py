"""The quality of the models by the scores topic: as it comes, and as a whole."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from clickstream.consumer.score_evaluation import ObservedScore, ScoreEvaluation, joined, score_reader
from clickstream.features.shop import UCI553, Shop
from clickstream.infra.kafka import Record
from clickstream.models.case import Floats
from clickstream.models.drift import Alarm
from clickstream.models.figures import Figures, cluster_agreement, conversion_figures, revenue_figures
from clickstream.models.quality import Quality, columns, outcomes, weights
from clickstream.records.scorers import LEARNING, ScorerName

_ALARMS_KEPT = 5
_OTHERS_KEPT = 20


class _ScoresOfShop:
    """What is read of the scores topic: the scores of a shop, of one bundle or of all.

    Attributes:
        shop: whose scores are evaluated.
        bundles: bundle id -> scores seen.
        others: name of another shop and its hash -> scores seen, which are not evaluated; the first
            `_OTHERS_KEPT` of them.
        goals_without_visit: sessions whose first click met the goal already.
    """

    def __init__(self, bundle: str | None, shop: Shop) -> None:
        self.shop = shop
        self.bundles: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self.goals_without_visit = 0
        self._read = score_reader(shop)
        self._bundle = bundle

    def scores(self, records: Sequence[Record]) -> Iterator[ObservedScore]:
        """Those to evaluate."""
        for record in records:
            score = self._read(record.value)
            if isinstance(score, ObservedScore):
                if self._bundle in (None, score.models.bundle):
                    self.bundles[score.models.bundle] += 1
                    self.goals_without_visit += score.is_goal_without_visit
                    yield score
            elif score is not None:
                label = f"{score.name}/{score.hash}"
                if label in self.others or len(self.others) < _OTHERS_KEPT:
                    self.others[label] += 1

    def counts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "shop": self.shop.as_dict(),
            "bundles": dict(self.bundles),
            "other_shops": dict(self.others),
            "goals_without_visit": self.goals_without_visit,
        }


class WatchedScores(_ScoresOfShop):
    """Scores as they come: bounded, however many there are.

    Attributes:
        alarms: the last changes found.
    """

    def __init__(self, window: int, bundle: str | None = None, shop: Shop = UCI553) -> None:
        super().__init__(bundle, shop)
        self.alarms: deque[Alarm] = deque(maxlen=_ALARMS_KEPT)
        self._evaluation = ScoreEvaluation(window, shop)

    @property
    def sessions(self) -> int:
        """Scores seen."""
        return self._evaluation.sessions

    def add(self, records: Sequence[Record]) -> None:
        """Take in a batch of records; within it they count in the order of event time."""
        scores = sorted(self.scores(records), key=attrgetter("last_click_at"))
        self.alarms += self._evaluation.add(scores)

    def since_start(self) -> Quality | None:
        """Quality over all scores that were added; None without one with evidence."""
        return self._evaluation.since_start()

    def rolling(self) -> Quality | None:
        """Quality over the last scores with evidence; None without one."""
        return self._evaluation.rolling()

    def summary(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            "sessions": self.sessions,
            **self.counts(),
            "since_start": _as_dict(self.since_start()),
            "rolling": _as_dict(self.rolling()),
            "drift": dict(self._evaluation.alarms),
            "alarms": [alarm._asdict() for alarm in self.alarms],
        }


class RecordedScores(_ScoresOfShop):
    """Scores kept as numbers, a few hundred bytes each, to be evaluated with the figures of a training."""

    def __init__(self, bundle: str | None = None, shop: Shop = UCI553) -> None:
        super().__init__(bundle, shop)
        self._evaluation = ScoreEvaluation(2, shop)
        self._times: list[int] = []
        self._tables = [self._evaluation.table([])]
        self._clusters: list[tuple[int, int]] = []

    def add(self, records: Sequence[Record]) -> None:
        """Keep a batch of records."""
        scores = list(self.scores(records))
        self._times += [score.last_click_at for score in scores]
        self._tables.append(self._evaluation.table(scores))
        for score in scores:
            batch, online = (getattr(score.predictions, name) for name in ("batch", LEARNING))
            if batch is not None and online is not None:
                self._clusters.append((online.cluster, batch.cluster))

    def summary(self) -> dict[str, Any]:
        """All of it, as JSON: the figures of `models.figures`, exact, for each scorer on the same sessions.

        `ari` compares the clusters of online with those of batch on all sessions with predictions. Drift is
        detected in the order of event time. Without a session with evidence, there are no figures.
        """
        evaluation = ScoreEvaluation(2, self.shop)
        table = joined(self._tables).at(np.argsort(self._times, kind="stable"))
        alarms = evaluation.add_table(table)
        figures = _figures(table.rows, evaluation.scorers) if len(table.rows) else {}
        if figures:
            ours, theirs = zip(*self._clusters, strict=True)
            figures[LEARNING]["ari"] = cluster_agreement(ours, theirs)
        return {
            "sessions": len(self._times),
            **self.counts(),
            "figures": figures,
            "drift": dict(evaluation.alarms),
            "alarms": [alarm._asdict() for alarm in alarms],
        }


def _figures(table: Floats, scorers: Sequence[ScorerName]) -> dict[str, Figures]:
    converted, revenue = outcomes(table)
    weight = weights(table)
    # Without a value of the goal it is NaN.
    has_revenue = not np.isnan(revenue).any()
    return {
        name: conversion_figures(converted > 0.5, predicted, weight)
        | (revenue_figures(revenue, expected, weight) if has_revenue else {})
        for name, predicted, expected in columns(table, scorers)
    }


def _as_dict(quality: Quality | None) -> dict[str, Any] | None:
    if quality is None:
        return None
    return {
        "sessions": quality.sessions,
        "same_cluster": quality.same_cluster,
        **{name: merit._asdict() for name, merit in quality.scorers.items()},
    }
