"""Compares two bundles of one shop at the same decision points, of sessions that neither has learned from."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np

from clickstream.bundles.bundle import Bundle
from clickstream.infra.days import day_of
from clickstream.infra.errors import InputError
from clickstream.models.shop.examples import ShopWindow
from clickstream.training.comparison import BundleComparison, FigureComparison, compared_figures
from clickstream.training.shop.evaluation import weighted_point_conversion, weighted_point_revenue
from clickstream.training.shop.online import ProgressiveForecasts, progress
from clickstream.training.shop.points import Points, points_of

FEWEST_OF_A_KIND = 20
"""Sessions that convert, and sessions that do not, below which nothing is compared."""

CONVERSION, REVENUE = ("auc", "log_loss", "brier", "ece"), ("r2", "mae")


def compare_shop(one: Bundle, other: Bundle, windows: Sequence[ShopWindow]) -> BundleComparison:
    """Compare two bundles on the windows that opened after the days on which either learned.

    `online` is judged progressively, from the warm start of its bundle on.

    Raises:
        InputError: there are too few such sessions, or only one kind of them.
    """
    days = [bundle.manifest.split.held_out_from for bundle in (one, other)]
    # The first day held out may hold sessions that were learned from.
    after = max(day for day in days if day is not None)
    fresh = [window for window in windows if _day(window) > after]
    points = points_of(one.shop, fresh).weighing()
    kinds = [len(np.unique(points.window[points.converted == kind])) for kind in (1.0, 0.0)]
    if min(kinds) < FEWEST_OF_A_KIND:
        raise InputError(
            f"{one.id} and {other.id} have both not learned from sessions after {after}: {kinds[0]} of them"
            f" meet the goal and {kinds[1]} do not; {FEWEST_OF_A_KIND} of each kind are needed",
            "Give data of later days.",
        )
    figures: dict[str, dict[str, FigureComparison]] = {}
    for scorer, ask in (("batch", _batch), ("online", _online)):
        predicted = [ask(bundle, fresh, points) for bundle in (one, other)]
        resampled = [weighted_point_conversion(points, conversion) for conversion, _ in predicted]
        figures[scorer] = compared_figures(points.windows, resampled, CONVERSION)
        earned = [revenue for _, revenue in predicted if revenue is not None]
        if len(earned) == 2:
            resampled = [weighted_point_revenue(points, revenue) for revenue in earned]
            figures[scorer] |= compared_figures(points.windows, resampled, REVENUE)
    return BundleComparison(one.id, other.id, sum(kinds), [], figures)


def _batch(bundle: Bundle, windows: Sequence[ShopWindow], points: Points) -> ProgressiveForecasts:
    del windows  # what it says depends on nothing but the points
    return ProgressiveForecasts(
        *bundle.fitted["batch"].predict([points.table.row(at) for at in range(len(points))])
    )


def _online(bundle: Bundle, windows: Sequence[ShopWindow], points: Points) -> ProgressiveForecasts:
    return progress(bundle.shop, bundle.online(), windows, points)


def _day(window: ShopWindow) -> datetime.date:
    return day_of(window.opened_at)
