"""Check: one thing that was examined, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clickstream.infra.errors import ClickstreamError

Status = Literal["ok", "info", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """`what` names the thing and the value found; `remedy` is what a person can do, where there is need."""

    part: str
    status: Status
    what: str
    remedy: str = ""


def failed(part: str, error: ClickstreamError) -> Check:
    """An error of ours as a check that failed."""
    return Check(part, "fail", error.what, error.remedy)
