"""What the look-up answers. Times are ms since the epoch, amounts in the shop's currency."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from clickstream.models.reasons import Reasons
from clickstream.records.score import Prediction, ScoredShop


class OpenModels(BaseModel):
    """Which models spoke: those that would score the session if it closed now."""

    bundle: str
    lessons: Annotated[int, Field(description="sessions the online models had learned in the stream")]


class OpenSessionView(BaseModel):
    """A visit that is under way, by the clicks that a consumer has taken."""

    session_id: str
    opened_at: int
    last_click_at: int
    closes_at: Annotated[
        int,
        Field(description="it closes when a click of the partition is this late, and none of its own came"),
    ]
    clicks: Annotated[int, Field(description="distinct clicks so far")]
    waiting: Annotated[int, Field(description="of these, those that an earlier one may still precede")]
    earlier: Annotated[int, Field(description="visits of the same id that ended and wait to be closed")]
    converted_at: Annotated[
        int | None, Field(description="when a click first met the goal; null while none has, or by a proxy")
    ]
    features: dict[str, float | int | str | bool | None]
    predictions: Annotated[
        dict[str, Prediction] | None, Field(description="by scorer; null where `error` says why")
    ]
    reasons: Annotated[
        dict[str, Reasons | None] | None,
        Field(description="by scorer, where asked for; null where the first click met the goal"),
    ]
    models: OpenModels
    shop: ScoredShop
    partition: int
    offset: Annotated[int, Field(description="clicks before this offset of the partition are counted")]
    error: str | None


class OpenSessionsView(BaseModel):
    """Open sessions by chance, the highest first."""

    sessions: list[OpenSessionView]
    open: Annotated[int, Field(description="sessions that are open in all")]
    considered: Annotated[int, Field(description="of these, the ones asked about: those that close last")]


class Refusal(BaseModel):
    """Why there is no answer."""

    error: str
    remedy: str = ""
