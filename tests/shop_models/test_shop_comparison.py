"""Two bundles of a shop on the same sessions, and what becomes of the later one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.champion import champion
from clickstream.features.definition import ShopDefinition
from clickstream.infra.errors import InputError
from clickstream.infra.settings import Settings
from clickstream.models.shop.batch import SIZES, ModelPlan, ShopBatch
from clickstream.models.shop.examples import ShopWindow
from clickstream.operate.candidate import PromotionPolicy, decide
from clickstream.training.shop.comparison import compare_shop
from clickstream.training.shop.fit import fit_plan, folds_of
from clickstream.training.shop.points import points_of
from clickstream.training.shop.training import TRAIN_SHARE
from clickstream.training.writing import FittedShop, write_shop


@pytest.fixture(scope="session")
def ignorant(fitted: FittedShop, shop: ShopDefinition, windows: list[ShopWindow]) -> FittedShop:
    """Models that learned from outcomes of other sessions: worse than the base rate would be."""
    known = points_of(shop, windows[: round(TRAIN_SHARE * len(windows))]).weighing()
    shuffled = np.random.default_rng(1).permutation(known.windows)
    outcome = np.zeros(known.windows)
    outcome[known.window] = known.converted
    moved = outcome[shuffled][known.window]
    points = type(known)(**{**vars(known), "converted": moved})
    batch = fit_plan(shop, ModelPlan("native", SIZES[0]), fitted.inputs, points, folds_of(points, 1), 1)
    return fitted._replace(batch=ShopBatch(batch.artefact, shop, fitted.inputs))


def test_a_bundle_differs_from_itself_in_nothing(bundle: Bundle, windows: list[ShopWindow]) -> None:
    found = compare_shop(bundle, bundle, windows)
    assert set(found.figures) == {"batch", "online"}
    for figures in found.figures.values():
        assert set(figures) == {"auc", "log_loss", "brier", "ece", "r2", "mae"}
        assert all(one.difference.low == one.difference.high == 0.0 for one in figures.values())
    assert not found.one_is_better
    assert not found.other_is_better
    # Of the first day held out, some were learned from.
    assert 0 < found.sessions < 0.3 * len(windows)


def test_the_first_is_put_in_use_and_a_later_one_where_it_is_better(
    fitted: FittedShop, ignorant: FittedShop, windows: list[ShopWindow], tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    folder = settings.bundles / "shops" / "synthetic"

    def decided(made: FittedShop, promotion: PromotionPolicy) -> bool:
        bundle = write_shop(made, settings)
        decision = decide(settings, bundle, promotion, lambda one, other: compare_shop(one, other, windows))
        assert (champion(folder) == bundle.id) is decision.promoted
        return decision.promoted

    assert decided(ignorant, PromotionPolicy.first)
    assert not decided(fitted, PromotionPolicy.first)
    assert decided(fitted, PromotionPolicy.if_better)
    assert not decided(ignorant, PromotionPolicy.if_better)
    assert decided(ignorant, PromotionPolicy.always)


def test_too_few_sessions_that_neither_knows_are_no_comparison(
    bundle: Bundle, windows: list[ShopWindow]
) -> None:
    with pytest.raises(InputError, match="have both not learned from sessions after"):
        compare_shop(bundle, bundle, windows[:100])
