"""Scoring: the sessions of a file through the consumer's Scorer.

Batch and reference are asked for many sessions at once, the online models session by session in closing
order, from the bundle's warm start: predict, then learn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import orjson

from clickstream.bundles.bundle import Bundle
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.features.session import SessionStep
from clickstream.files.cleaning import CleanedFile, CleaningReport
from clickstream.files.dataset import Dataset
from clickstream.files.mapping import UciMapping, map_dataset
from clickstream.files.sifting import sift_dataset
from clickstream.files.source import FileSource
from clickstream.infra.settings import Settings
from clickstream.infra.words import counted
from clickstream.offline.sessions import Sessions
from clickstream.offline.windows import DatedWindow, cut_windows
from clickstream.operate.summary import Summary
from clickstream.records.shops import check_source, load_shop
from clickstream.windows.fingerprint import fingerprint, rules_of

ScoringProgress = Callable[[float, str], None]
"""A function called with the share done, from 0 to 1, and what is being done."""

AT_ONCE = 1_000
"""Sessions between two states of the online models that are kept for a story."""

_READING = 0.2
_TOLD_EVERY_S = 0.1


@dataclass(frozen=True)
class UnseenValues:
    """What the bundle has not seen in training: it answers as if nothing were shown there.

    `clicks` show such a product or category; `products` and `categories` count the distinct ones.
    """

    clicks: int
    products: int
    categories: int


@dataclass(frozen=True)
class FileScores:
    """A file, scored.

    `steps[i]` are the clicks of session i in order; `online_states[n]` is the state of the online models
    before session `n * AT_ONCE`.
    """

    bundle: str
    cleaning: CleaningReport
    sessions: Sessions = field(repr=False)
    summary: Summary = field(repr=False)
    unknown: UnseenValues
    steps: list[list[SessionStep]] = field(repr=False)
    online_states: list[bytes] = field(repr=False)


def silent(_share: float, _words: str) -> None:
    """Report to nobody."""


def score_file(
    source: FileSource,
    *,
    bundle: Bundle,
    settings: Settings,
    name: str | None = None,
    mapping: UciMapping | None = None,
    progress: ScoringProgress = silent,
) -> FileScores:
    """Clean a file and score its sessions, as the stream would.

    Args:
        source: a path, bytes or an open file: CSV in the layout of UCI 553, or what `mapping` describes; or a
            zip that holds one.
        settings: the rules by which event times become sessions.
        name: of the file, for messages.

    Raises:
        MissingFileError: the file is not there.
        InputError: it is no such file, or no row of it can be used.
        UsageError: the settings name a shop that is not that of the file.

    >>> from pathlib import Path
    >>> from clickstream import Settings, load_bundle, score_file
    >>> settings = Settings()
    >>> scored = score_file(Path("data/UCI.zip"), bundle=load_bundle(settings), settings=settings)
    >>> scored.cleaning.refused, len(scored.sessions) == scored.summary.sessions
    ((), True)
    """
    check_source(load_shop(settings.shop))
    report = _Seldom(progress)

    def reading(share: float) -> None:
        report(_READING * share, "reading")

    if mapping is None:
        cleaned = sift_dataset(source, name, reading)
    else:
        cleaned = map_dataset(source, mapping, name, reading)
    return _score(cleaned, bundle, settings, report)


def _score(cleaned: CleanedFile, bundle: Bundle, settings: Settings, report: ScoringProgress) -> FileScores:
    dataset, cleaning = cleaned
    rules = rules_of(settings)
    scorer = WindowScorer(bundle, dataset.name, fingerprint(settings), rules.shop)
    online = bundle.online()
    sessions, summary = Sessions(), Summary()
    report(_READING, "scoring")
    steps: list[list[SessionStep]] = []
    states: list[bytes] = []
    clicks = 0
    for cuts in _batches(cut_windows(dataset, rules)):
        states.append(online.state())
        scores = scorer.score([UnscoredWindow(0, cut.closed, online) for cut in cuts])
        for cut, value in zip(cuts, scores, strict=True):
            score = orjson.loads(value or b"")
            sessions.add(score, cut.day, dataset.times is not None)
            summary.add(score, score["scored_at"])
            steps.append(cut.steps)
            clicks += len(cut.steps)
        report(
            _READING + (1 - _READING) * clicks / max(len(dataset), 1),
            f"{counted(len(sessions), 'session')} scored",
        )
    report(1.0, f"{counted(len(sessions), 'session')} scored")
    return FileScores(bundle.id, cleaning, sessions, summary, _unknown(dataset, bundle), steps, states)


def _batches(cuts: Iterator[DatedWindow]) -> Iterator[list[DatedWindow]]:
    while batch := list(islice(cuts, AT_ONCE)):
        yield batch


def _unknown(dataset: Dataset, bundle: Bundle) -> UnseenValues:
    known = bundle.vocabulary.positions
    categories = known["first_category"].keys() | known["last_category"].keys()
    new_product = [view.product not in known["last_product"] for view in dataset.views]
    new_category = [view.category not in categories for view in dataset.views]
    shown = set(dataset.view_of.tolist())
    return UnseenValues(
        sum(new_product[view] or new_category[view] for view in dataset.view_of.tolist()),
        len({dataset.views[view].product for view in shown if new_product[view]}),
        len({dataset.views[view].category for view in shown if new_category[view]}),
    )


class _Seldom:
    """A progress that is called some ten times a second, and at the end."""

    def __init__(self, progress: ScoringProgress) -> None:
        self._progress = progress
        self._told = 0.0

    def __call__(self, share: float, words: str) -> None:
        now = time.monotonic()
        if share >= 1.0 or now - self._told >= _TOLD_EVERY_S:
            self._told = now
            self._progress(share, words)
