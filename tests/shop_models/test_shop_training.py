"""Models of a shop whose chances are known: as good as can be, honest about it, the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from clickstream.features.definition import ShopDefinition
from clickstream.infra.errors import InputError
from clickstream.models.shop.batch import Rate, learn_rate
from clickstream.models.shop.examples import ShopWindow
from clickstream.models.shop.inputs import ABSENT, UNKNOWN
from clickstream.producer.synthetic_shop import SHOP, KnownSessions, known_sessions, purchase_chances
from clickstream.training.shop.evaluation import weighted_point_conversion
from clickstream.training.shop.points import points_of
from clickstream.training.shop.training import train_shop
from clickstream.training.writing import FittedShop
from shop_models.test_points import before_the_purchase


def test_the_chance_that_is_known_is_the_share_that_buys() -> None:
    known = known_sessions(20_000, seed=5)
    bought = {
        name: any(click.event == "purchase" for click in clicks) for name, clicks in known.sessions.items()
    }
    chances = {name: known.chances[name][0] for name in bought}
    # Grouped by their chance at the first click, each group buys as often as that says.
    for chance in set(chances.values()):
        group = [bought[name] for name, of in chances.items() if of == chance]
        assert abs(np.mean(group) - chance) < 4 * np.sqrt(chance * (1 - chance) / len(group))
    assert all(0 < chance < 1 for chance in purchase_chances().values())


def test_the_models_rank_as_well_as_the_chances_themselves_do(
    fitted: FittedShop, shop: ShopDefinition, windows: list[ShopWindow], known: KnownSessions
) -> None:
    """bench/known_shop.py does the same with 20,000 sessions and tighter bounds."""
    held = windows[round(0.7 * len(windows)) :]
    points = points_of(shop, held).weighing()
    truth = np.array(
        [
            known.chances[held[number].session_id][seen - 1]
            for number, seen in zip(points.window, points.seen, strict=True)
        ]
    )
    whole = np.ones((1, points.windows))
    best = weighted_point_conversion(points, truth)(whole)
    # The online models have learned 1,400 sessions in 44 lessons: they are less sure of how sure they may be.
    for scorer, apart in (("batch", 0.03), ("online", 0.04)):
        figures = fitted.evaluation.figures[scorer]
        assert figures["auc"].value > best["auc"][0] - apart
        assert figures["ece"].value < best["ece"][0] + apart
        assert figures["auc"].low < figures["auc"].value < figures["auc"].high


def test_figures_are_held_against_chance_one_feature_and_the_base_rate(fitted: FittedShop) -> None:
    evaluation = fitted.evaluation
    batch = evaluation.figures["batch"]
    assert 0.47 < evaluation.shuffled < 0.53
    assert evaluation.base_rate["auc"].value == pytest.approx(0.5)
    assert evaluation.base_rate["lift"].value == pytest.approx(1.0)
    assert evaluation.one_feature.feature in {"visitor", "last_event", "carts", "carts_a_view"}
    assert evaluation.base_rate["log_loss"].value > evaluation.one_feature.figures["log_loss"].value
    assert evaluation.one_feature.figures["log_loss"].value > batch["log_loss"].value
    assert batch["lift"].value > 2
    assert {one.seen for one in evaluation.by_seen if one.scorer == "batch"} >= {1, 2, 3, 5, 8, None}
    assert sum(one.chosen for one in evaluation.trials) == 1
    assert {one.setting.partition(";")[0] for one in evaluation.trials} == {"texts: native", "texts: target"}


def test_few_examples_are_said_plainly(fitted: FittedShop) -> None:
    assert any(note.startswith("few examples: ") for note in fitted.evaluation.notes)


def test_neither_models_nor_figures_know_what_happens_after_the_purchase(
    shop: ShopDefinition, windows: list[ShopWindow], fitted: FittedShop
) -> None:
    """The thank-you page is shown to buyers alone; the shop even has a feature of it."""
    without = before_the_purchase(windows)
    again = train_shop(shop, without, data_sha256="0" * 64, data_name=SHOP)
    points = points_of(shop, windows)
    for one, other in zip(fitted.batch.answer(points.table), again.batch.answer(points.table), strict=True):
        assert one is not None
        assert other is not None
        assert np.array_equal(one, other)
    told = fitted.evaluation, again.evaluation
    assert told[0].figures["batch"] == told[1].figures["batch"]
    assert told[0].by_seen[:5] == told[1].by_seen[:5]
    assert told[0].trials == told[1].trials


@pytest.mark.parametrize(("kept", "what"), [("never", "0 of them meet"), ("always", "of them meet")])
def test_a_goal_that_is_never_met_or_always_is_refused(
    shop: ShopDefinition, windows: list[ShopWindow], kept: str, what: str
) -> None:
    some = [
        one for one in windows if any(click.event == "purchase" for click in one.clicks) == (kept == "always")
    ]
    with pytest.raises(InputError, match=what):
        train_shop(shop, some, data_sha256="0" * 64, data_name=SHOP)


def test_a_rate_of_a_text_is_drawn_to_the_mean_and_absent_stays_absent() -> None:
    codes = np.array([0] * 400 + [1] * 4, dtype=np.intp)
    converted = np.array([1.0, 0.0] * 200 + [1.0] * 4)
    rate = learn_rate(codes, converted, np.ones(404), 2)
    common, rare, unknown, absent = rate.of(np.array([0, 1, UNKNOWN, ABSENT]))
    assert common == pytest.approx(0.5, abs=0.01)
    assert 0.5 < rare < 0.65
    assert unknown == rate.usual == pytest.approx(204 / 404)
    assert np.isnan(absent)
    assert isinstance(rate, Rate)


def test_the_roc_curve_encloses_the_auc_and_the_funnel_tells_most(fitted: FittedShop) -> None:
    found = fitted.evaluation
    for scorer, curve in found.roc.items():
        assert (curve.false_positive_rate[0], curve.true_positive_rate[-1]) == (0.0, 1.0)
        area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
        assert area == pytest.approx(found.figures[scorer]["auc"].value, abs=0.005)
    for of in found.importances.values():
        assert {one.feature for one in of.inputs} == {*fitted.inputs.numbers, *fitted.inputs.texts}
    worth = {one.feature: one.mean for one in found.importances["batch conversion"].inputs}
    assert worth["thanks"] == 0.0  # only after the goal: no model can lean on it
    assert max(worth.values()) > 0.02
