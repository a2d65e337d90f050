"""Reasons of any shop: they add up to the prediction at every click, whatever the types of features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.special import expit, logit

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.reasons import reasons
from clickstream.features.shop import shop_of
from clickstream.models.calibration import Calibration
from clickstream.models.case import Case
from clickstream.models.shop.examples import ShopWindow


def cases(bundle: Bundle, windows: list[ShopWindow]) -> Iterator[Case]:
    """What the scorers see of open sessions, click by click."""
    shop = shop_of(bundle.shop)
    for window in windows:
        session = shop.open(window.clicks[0], session_id=window.session_id)
        yield Case(shop.known(session), shop.whole(session))
        for click in window.clicks[1:]:
            session.add(click, 0)
            yield Case(shop.known(session), shop.whole(session))


def test_reasons_add_up_to_the_prediction_at_every_click(bundle: Bundle, windows: list[ShopWindow]) -> None:
    online = bundle.online()
    calibration = Calibration(**bundle.fitted["batch"].artefact["calibration"])
    asked = 0
    for case in cases(bundle, windows[::100]):
        batch, learned = reasons(bundle, case, "batch"), reasons(bundle, case, online)
        if case.evidence is None:
            assert batch is learned is None
            continue
        assert batch is not None
        assert learned is not None
        asked += 1
        for found in (batch, learned):
            total = found.base + sum(one.effect for one in found.strongest) + found.others
            assert total == pytest.approx(found.answer, abs=1e-9)
            assert all(one.value == case.evidence[one.feature] for one in found.strongest)
        chance = calibration.apply(expit(np.array([batch.answer])))[0]
        assert chance == pytest.approx(bundle.predict([case])[0]["batch"].conversion, abs=1e-9)
        assert expit(learned.answer) == pytest.approx(online.predict(case).conversion, abs=1e-9)
        assert np.isfinite(logit(chance))
    assert asked > 50


def test_one_session_gets_the_prediction_that_it_gets_among_many(
    bundle: Bundle, windows: list[ShopWindow]
) -> None:
    every = list(cases(bundle, windows[:300]))
    assert len(every) > 500
    together = [answer["batch"] for answer in bundle.predict(every)]
    assert together[::7] == [bundle.predict([case])[0]["batch"] for case in every[::7]]
