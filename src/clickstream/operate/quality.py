"""The quality of the models by the scores topic: as it comes, and as a whole."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from clickstream.consumer.observer import ObservedScore, Observer, drift_features, evaluated, observed
from clickstream.infra.kafka import Record
from clickstream.models.case import Floats
from clickstream.models.drift import Alarm
from clickstream.models.figures import Figures, cluster_agreement, conversion_figures, revenue_figures
from clickstream.models.quality import EvaluatedSession, Quality, columns, measure, outcomes, rows
from clickstream.records.scorers import LEARNING

_ALARMS_KEPT = 5


class WatchedScores:
    """Scores as they come, of one bundle or of all: bounded, however many there are.

    Attributes:
        bundles: bundle id -> scores seen.
        alarms: the last changes found.
    """

    def __init__(self, window: int, bundle: str | None = None) -> None:
        self.bundles: Counter[str] = Counter()
        self.alarms: deque[Alarm] = deque(maxlen=_ALARMS_KEPT)
        self._observer = Observer(window)
        self._bundle = bundle

    @property
    def sessions(self) -> int:
        """Scores seen."""
        return self._observer.sessions

    def add(self, records: Sequence[Record]) -> None:
        """Take in a batch of records; within it they count in the order of event time."""
        scores = sorted(_scores(records, self._bundle), key=attrgetter("last_click_at"))
        self.bundles.update(score.models.bundle for score in scores)
        self.alarms += self._observer.add(scores)

    def since_start(self) -> Quality | None:
        """Quality over all scores that were added; None without one with evidence."""
        return self._observer.since_start()

    def rolling(self) -> Quality | None:
        """Quality over the last scores with evidence; None without one."""
        return measure(self._observer.recent())

    def summary(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            "sessions": self.sessions,
            "bundles": dict(self.bundles),
            "since_start": _as_dict(self.since_start()),
            "rolling": _as_dict(self.rolling()),
            "drift": dict(self._observer.alarms),
            "alarms": [alarm._asdict() for alarm in self.alarms],
        }


class RecordedScores:
    """Scores kept whole, about 150 bytes each, to be evaluated with the figures of a training."""

    def __init__(self, bundle: str | None = None) -> None:
        self.bundles: Counter[str] = Counter()
        self._bundle = bundle
        self._times: list[int] = []
        self._features: list[Floats] = []
        self._rows: list[EvaluatedSession | None] = []
        self._clusters: list[tuple[int, int]] = []

    def add(self, records: Sequence[Record]) -> None:
        """Keep a batch of records."""
        for score in _scores(records, self._bundle):
            self.bundles[score.models.bundle] += 1
            self._times.append(score.last_click_at)
            self._features.append(drift_features([score])[0])
            self._rows.append(evaluated(score))
            batch, online = (getattr(score.predictions, name) for name in ("batch", LEARNING))
            if batch is not None and online is not None:
                self._clusters.append((online.cluster, batch.cluster))

    def summary(self) -> dict[str, Any]:
        """All of it, as JSON: the figures of `models.figures`, exact, for each scorer on the same sessions.

        `ari` compares the clusters of online with those of batch on all sessions with predictions. Drift is
        detected in the order of event time. Without a session with evidence, there are no figures.
        """
        order = np.argsort(self._times, kind="stable").tolist()
        observer = Observer(2)
        table = rows([row for i in order if (row := self._rows[i]) is not None])
        alarms = observer.add_tables(np.array([self._features[i] for i in order]), table) if order else []
        figures = _figures(table) if len(table) else {}
        if figures:
            ours, theirs = zip(*self._clusters, strict=True)
            figures[LEARNING]["ari"] = cluster_agreement(ours, theirs)
        return {
            "sessions": len(order),
            "bundles": dict(self.bundles),
            "figures": figures,
            "drift": dict(observer.alarms),
            "alarms": [alarm._asdict() for alarm in alarms],
        }


def _scores(records: Sequence[Record], bundle: str | None) -> Iterator[ObservedScore]:
    for record in records:
        score = observed(record.value)
        if score is not None and bundle in (None, score.models.bundle):
            yield score


def _figures(table: Floats) -> dict[str, Figures]:
    converted, revenue = (found.tolist() for found in outcomes(table))
    return {
        name: {
            **conversion_figures([value > 0.5 for value in converted], predicted),
            **revenue_figures(revenue, expected),
        }
        for name, predicted, expected in columns(table)
    }


def _as_dict(quality: Quality | None) -> dict[str, Any] | None:
    if quality is None:
        return None
    return {
        "sessions": quality.sessions,
        "same_cluster": quality.same_cluster,
        **{name: merit._asdict() for name, merit in quality.scorers.items()},
    }
