"""Score, OpenScore and DeadLetter: the records that we publish, and when two scores count as equal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, create_model

from clickstream.features.outcome import Source as OutcomeSource
from clickstream.records.reasons import ClosedBy, Reason
from clickstream.records.scorers import LEARNING, SCORERS

SCHEMA_VERSION: Literal[1] = 1

REBUILT_PARTLY = "rebuilt-partly"
"""Error of a score whose first clicks lie before the place from which lost state was rebuilt."""


class _Published(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # What has a default is published all the same.
        json_schema_serialization_defaults_required=True,
    )


class Prediction(_Published):
    """What one scorer says of a session."""

    conversion: Annotated[float, Field(ge=0, le=1, description="probability that the session converts")]
    revenue: Annotated[
        float | None,
        Field(description="expected revenue, in the shop's currency; null where the shop does not say"),
    ]
    cluster: Annotated[int, Field(ge=0, description="number of the behavioural cluster")]
    cluster_name: str


Predictions = create_model(
    "Predictions",
    __base__=_Published,
    __doc__="The scorers side by side; `reference` sees the click that decides, the other two do not.",
    **dict.fromkeys(SCORERS, (Prediction | None, ...)),  # type: ignore[call-overload]
)


class ScoredOutcome(_Published):
    """What became of the session.

    `goal`: a click met the shop's goal, or none did. `proxy`: a rule over the last click stands for it, as in
    the dataset of 2008, which holds no purchase.
    """

    converted: bool
    revenue: Annotated[
        float | None, Field(description="in the shop's currency; null where the shop does not say")
    ]
    source: OutcomeSource
    at: Annotated[
        int | None,
        Field(
            description="event time of the click that decided, ms since the epoch; null without conversion"
        ),
    ]


class ScoredShop(_Published):
    """The definition that fields, features and goal are of."""

    name: str
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="of the whole definition")]


_Lessons = Annotated[int, Field(ge=0, description="sessions given to the online models in the stream before")]


class OpenPredictions(_Published):
    """The scorers that have something to say before the session ends, side by side."""

    batch: Prediction | None
    online: Prediction | None


class DrawnPoint(_Published):
    """The decision point of a session that the online models learn from, drawn by its weight."""

    clicks: Annotated[int, Field(ge=1, description="distinct clicks by then, late ones included")]
    predictions: Annotated[OpenPredictions, Field(description="what the models say of these clicks")]


class Models(_Published):
    """Which models spoke."""

    bundle: str
    feature_sets: Annotated[dict[str, str], Field(description="feature set -> hash of its definitions")]
    lessons: _Lessons


class Source(_Published):
    """Where the session's clicks lie; `closing_offset` is the record that made it close."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    closing_offset: int


class Score(_Published):
    """One closed session, scored. `score_id` names the window: the session and when it opened.

    Times are milliseconds since the epoch, UTC; amounts are in the currency of the prices. The value of a
    record is read by `model_validate_json`, which raises `pydantic.ValidationError`, a ValueError, where it
    is no score.

    >>> from pathlib import Path
    >>> from clickstream import Score
    >>> score = Score.model_validate_json(Path("score.json").read_bytes())
    >>> score.closed_by, score.clicks, score.predictions.batch.conversion
    ('gap', 3, 0.59)
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    score_id: Annotated[str, Field(description="<session_id>/<opened_at>")]
    session_id: str
    opened_at: Annotated[int, Field(description="event time of the first click, ms since the epoch")]
    last_click_at: Annotated[int, Field(description="event time of the last click, ms since the epoch")]
    closed_by: ClosedBy
    clicks: Annotated[int, Field(ge=1, description="distinct clicks, late ones included")]
    duplicates: Annotated[int, Field(ge=0, description="copies dropped")]
    late: Annotated[int, Field(ge=0, description="clicks that came too late for their place in the order")]
    missing: Annotated[int, Field(ge=0, description="orders never seen between the first and the last")]
    features: Annotated[
        dict[str, float | int | str | bool | None],
        Field(description="of all clicks, as the shop defines them; null where a feature has nothing to say"),
    ]
    predictions: Predictions
    evidence: Annotated[
        int,
        Field(ge=0, description="clicks in order before the one that decided; all where an event never came"),
    ]
    drawn: Annotated[
        DrawnPoint | None,
        Field(description="where the goal is an event; null where the last decision point is drawn, or none"),
    ] = None
    outcome: ScoredOutcome
    models: Models
    shop: ScoredShop
    settings: Annotated[str, Field(description="fingerprint of the settings that shape sessions")]
    source: Source
    time_source: str | None
    scored_at: Annotated[int, Field(description="wall clock, ms since the epoch")]
    error: Annotated[str | None, Field(description="why predictions are null; else null")]


class OpenModels(_Published):
    """Which models spoke."""

    bundle: str
    lessons: _Lessons


class ClickSource(_Published):
    """Where the click lies."""

    topic: str
    partition: int
    offset: int


class OpenScore(_Published):
    """A session that is open, at a click that has just come: what the models say of its clicks so far.

    >>> from pathlib import Path
    >>> from clickstream.records.score import OpenScore
    >>> score = OpenScore.model_validate_json(Path("open-score.json").read_bytes())
    >>> score.clicks, score.conditions, score.predictions.batch.conversion
    (2, ('leaving',), 0.18)
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    open_score_id: Annotated[str, Field(description="<session_id>/<opened_at>/<offset of the click>")]
    session_id: str
    opened_at: Annotated[
        int,
        Field(description="event time of the first click so far, ms since the epoch; an earlier may come"),
    ]
    event_time: Annotated[int, Field(description="of the click, ms since the epoch")]
    clicks: Annotated[int, Field(ge=1, description="distinct clicks so far, late ones included")]
    conditions: Annotated[
        tuple[str, ...], Field(description="names of the conditions that begin to hold with this click")
    ]
    predictions: OpenPredictions
    models: OpenModels
    shop: ScoredShop
    settings: Annotated[str, Field(description="fingerprint of the settings that shape sessions")]
    source: ClickSource
    time_source: Annotated[str | None, Field(description="of the click")]
    error: Annotated[str | None, Field(description="why predictions are null; else null")]


class DeadLetter(_Published):
    """A record that could not be counted."""

    schema_version: Literal[1] = SCHEMA_VERSION
    reason: Reason
    detail: str
    topic: str
    partition: int
    offset: int
    key: Annotated[str | None, Field(description="base64 of the key, at most 256 bytes of it")]
    value: Annotated[str | None, Field(description="base64 of the value, at most 16 KiB of it")]
    size: Annotated[int, Field(ge=0, description="bytes of the value as it was received")]


KEY_CAP = 256
VALUE_CAP = 16_384

DigestScope = Literal["same-log", "across-logs"]
COMPARISONS: tuple[DigestScope, ...] = ("same-log", "across-logs")


def comparable(score: Mapping[str, Any], comparison: DigestScope) -> dict[str, Any]:
    """The part of a score that must be equal in two runs.

    `same-log`: two runs over one log differ in `scored_at` only. `across-logs`: the same clicks in another
    log also differ in `source`, `models`, the online predictions and the copies dropped.
    """
    kept = {name: value for name, value in score.items() if name != "scored_at"}
    if comparison == "across-logs":
        for name in ("source", "models", "duplicates"):
            kept.pop(name, None)
        kept["predictions"] = _fitted(score["predictions"])
        if drawn := score.get("drawn"):
            kept["drawn"] = {**drawn, "predictions": _fitted(drawn["predictions"])}
    return kept


def _fitted(predictions: Mapping[str, Any]) -> dict[str, Any]:
    return {name: said for name, said in predictions.items() if name != LEARNING}


def digest_line(score: Mapping[str, Any], comparison: DigestScope) -> bytes:
    """Thirty-two bytes that are equal when the comparable parts of two scores are."""
    return hashlib.sha256(orjson.dumps(comparable(score, comparison), option=orjson.OPT_SORT_KEYS)).digest()


def digest_of_lines(lines: Iterable[bytes]) -> str:
    """The digest of the scores whose lines, sorted, are these."""
    whole = hashlib.sha256()
    for line in lines:
        whole.update(line)
    return whole.hexdigest()[:16]


def digest(scores: Iterable[Mapping[str, Any]], comparison: DigestScope) -> str:
    """Sixteen hexadecimal digits over the comparable parts of all scores, in any order of arrival."""
    return digest_of_lines(sorted(digest_line(score, comparison) for score in scores))
