"""A record of the scores topic, read as far as the page shows it.

Others may write to the topic. What does not have the shape of a score, or says what cannot be (a probability
of 2, a year 33,000), is left out here, so that nothing behind has to expect it. Only the fields below are
kept: a score of a megabyte takes no more memory than any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

from clickstream.features.shop import Shop
from clickstream.models.scorers import scorers_of
from clickstream.records.reading import reader_of
from clickstream.records.scorers import SCORERS

_Name = Annotated[str, msgspec.Meta(max_length=512)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Amount = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
_Moment = Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800_000)]


class _Prediction(msgspec.Struct, gc=False):
    conversion: _Share
    revenue: _Amount | None
    cluster_name: _Name


_Predictions = msgspec.defstruct("_Predictions", [(name, _Prediction | None) for name in SCORERS], gc=False)


class _Outcome(msgspec.Struct, gc=False):
    converted: bool
    revenue: _Amount | None


class _Shop(msgspec.Struct, gc=False):
    name: _Name
    hash: _Name


class _Score(msgspec.Struct, gc=False):
    session_id: _Name
    clicks: _Count
    closed_by: _Name
    predictions: _Predictions  # type: ignore[valid-type]
    outcome: _Outcome
    shop: _Shop
    scored_at: _Moment
    error: _Name | None


_read = reader_of(_Score)


ArrivedScore = Mapping[str, Any]
"""The fields above, as the summary of the page takes them."""


def score_reader(shop: Shop) -> Callable[[bytes | None], ArrivedScore | str | None]:
    """A function of a record's value: the score, where it is one of `shop`; name and hash of the other shop,
    where it is one of that; None where it is no score.
    """
    scorers, spent = scorers_of(shop), shop.definition.goal.value is not None

    def is_whole(score: _Score) -> bool:
        if score.error is not None:
            return True
        answers = [getattr(score.predictions, name) for name in scorers]
        return all(one is not None and (one.revenue is not None or not spent) for one in answers)

    def arrived(value: bytes | None) -> ArrivedScore | str | None:
        score = _read(value)
        if score is None:
            return None
        if score.shop.hash != shop.definition.hash:
            return f"{score.shop.name}/{score.shop.hash}"
        return msgspec.to_builtins(score) if is_whole(score) else None

    return arrived
