"""A record of the scores topic, read as far as the page shows it.

Others may write to the topic. What does not have the shape of a score, or says what cannot be (a probability
of 2, a year 33,000), is left out here, so that nothing behind has to expect it. Only the fields below are
kept: a score of a megabyte takes no more memory than any.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from clickstream.records.reading import reader_of
from clickstream.records.scorers import SCORERS

_Name = Annotated[str, msgspec.Meta(max_length=512)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Amount = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
_Moment = Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800_000)]


class _Prediction(msgspec.Struct, gc=False):
    conversion: _Share
    revenue: _Amount
    cluster_name: _Name


_Predictions = msgspec.defstruct("_Predictions", [(name, _Prediction | None) for name in SCORERS], gc=False)
_answers = attrgetter(*SCORERS)


class _Outcome(msgspec.Struct, gc=False):
    converted: bool
    revenue: _Amount


class _Score(msgspec.Struct, gc=False):
    session_id: _Name
    clicks: _Count
    closed_by: _Name
    predictions: _Predictions  # type: ignore[valid-type]
    outcome: _Outcome
    scored_at: _Moment
    error: _Name | None


_read = reader_of(_Score)


def arrived(value: bytes | None) -> Mapping[str, Any] | None:
    """The fields above, as the summary of the page takes them; None for a record that is no score."""
    score = _read(value)
    if score is None or (score.error is None and None in _answers(score.predictions)):
        return None
    fields: Mapping[str, Any] = msgspec.to_builtins(score)
    return fields
