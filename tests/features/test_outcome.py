from __future__ import annotations

import pytest
from factory import step

from clickstream.features.outcome import Outcome
from clickstream.features.shop import UCI553


@pytest.mark.parametrize(
    ("price_2", "page", "converted"),
    [
        (1, 1, True),
        (1, 5, True),
        (2, 3, False),
        (2, 4, True),
        (2, 5, True),
        (2, 1, False),
        (2, 1_000_000, True),
    ],
)
def test_a_last_click_converts_when_its_price_is_high_or_its_page_deep(
    price_2: int, page: int, converted: bool
) -> None:
    assert UCI553.decided_by(step(1, price_2=price_2, page=page, price=43.0))[:2] == (converted, 43.0)


def test_revenue_is_the_last_price_also_when_the_visit_did_not_convert() -> None:
    assert UCI553.decided_by(step(1, price_2=2, page=1, price=28.5)) == Outcome(False, 28.5)
