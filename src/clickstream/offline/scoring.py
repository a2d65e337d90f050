"""Scoring: the sessions of a file through the consumer's Scorer.

Batch and reference are asked for many sessions at once, the online models session by session in closing
order, from the bundle's warm start: predict, then learn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import orjson

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.reasons import reasons as reasons_of
from clickstream.bundles.shop import check_shop
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer, case_of
from clickstream.features.session import Session, SessionStep
from clickstream.features.shop import Shop
from clickstream.files.cleaning import CleaningReport
from clickstream.files.dataset import Dataset
from clickstream.files.reading import ClickMapping, read_clicks
from clickstream.files.source import FileSource
from clickstream.infra.settings import Settings
from clickstream.infra.words import counted
from clickstream.offline.sessions import Sessions
from clickstream.offline.windows import DatedWindow, cut_windows
from clickstream.operate.summary import Summary
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
    before session `n * AT_ONCE`. `unknown` is None for shops other than uci553.
    """

    bundle: str
    cleaning: CleaningReport
    sessions: Sessions = field(repr=False)
    summary: Summary = field(repr=False)
    unknown: UnseenValues | None
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
    mapping: ClickMapping | None = None,
    reasons: int = 0,
    progress: ScoringProgress = silent,
) -> FileScores:
    """Clean a file and score its sessions, as the stream would.

    Args:
        source: a path, bytes or an open file: CSV in the layout of UCI 553, or what `mapping` describes; or a
            zip that holds one. Of another shop JSON lines as on the topic, where there is no mapping.
        settings: the rules by which event times become sessions, and the shop whose clicks they are.
        name: of the file, for messages.

        reasons: how many features to name of each session that moved the prediction of `batch` most.

    Raises:
        MissingFileError: the file is not there.
        InputError: it is no such file, or no row of it can be used.
        BundleError: the bundle is of another shop than the settings name.

    >>> from pathlib import Path
    >>> from clickstream import Settings, load_bundle, score_file
    >>> settings = Settings()
    >>> scored = score_file(Path("data/UCI.zip"), bundle=load_bundle(settings), settings=settings)
    >>> scored.cleaning.refused, len(scored.sessions) == scored.summary.sessions
    ((), True)
    """
    rules = rules_of(settings)
    check_shop(bundle.manifest, rules.shop.definition, f"bundle {bundle.path}")
    report = _Seldom(progress)

    def reading(share: float) -> None:
        report(_READING * share, "reading")

    log, cleaning = read_clicks(source, rules.shop, mapping, name, reading)
    report(_READING, "scoring")
    scored = _Scored(Sessions(rules.shop, reasons > 0), Summary())
    scorer = WindowScorer(bundle, log.name, fingerprint(settings), rules.shop)
    online = bundle.online()
    for cuts in _batches(cut_windows(log, rules)):
        scored.states.append(online.state())
        scores = scorer.score([UnscoredWindow(0, cut.closed, online) for cut in cuts])
        why = [_reasons(bundle, rules.shop, cut.closed.session, reasons) for cut in cuts]
        scored.add(cuts, scores, why, log.times is not None)
        report(
            _READING + (1 - _READING) * scored.clicks / max(len(log), 1),
            f"{counted(len(scored.sessions), 'session')} scored",
        )
    report(1.0, f"{counted(len(scored.sessions), 'session')} scored")
    unknown = _unknown(log, bundle) if isinstance(log, Dataset) else None
    return FileScores(
        bundle.id, cleaning, scored.sessions, scored.summary, unknown, scored.steps, scored.states
    )


@dataclass
class _Scored:
    """What is scored so far."""

    sessions: Sessions
    summary: Summary
    clicks: int = 0
    steps: list[list[SessionStep]] = field(default_factory=list)
    states: list[bytes] = field(default_factory=list)

    def add(
        self,
        cuts: Sequence[DatedWindow],
        scores: Sequence[bytes | None],
        reasons: Sequence[str | None],
        has_times: bool,
    ) -> None:
        for cut, value, why in zip(cuts, scores, reasons, strict=True):
            score = orjson.loads(value or b"")
            self.sessions.add(score, cut.day, has_times, None if score["error"] else why)
            self.summary.add(score, score["scored_at"])
            self.steps.append(cut.steps)
            self.clicks += len(cut.steps)


def _reasons(bundle: Bundle, shop: Shop, session: Session, at_most: int) -> str | None:
    """The reasons of `batch` in one cell; a value stands in the column of its feature."""
    found = reasons_of(bundle, case_of(shop, session), "batch", at_most) if at_most else None
    if found is None:
        return None
    return ", ".join(f"{one.feature} {one.effect:+.2f}" for one in found.strongest)


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
