"""Numbers with their nouns, as people read them."""

from __future__ import annotations

import pytest

from clickstream.infra.words import counted


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (0, "session", "0 sessions"),
        (1, "session", "1 session"),
        (1_200, "open session", "1,200 open sessions"),
        (2, "category", "2 categories"),
        (1, "category", "1 category"),
    ],
)
def test_one_is_singular(number: int, noun: str, said: str) -> None:
    assert counted(number, noun) == said
