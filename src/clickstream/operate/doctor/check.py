"""Check: one thing that was examined, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clickstream.infra.errors import ClickstreamError, ConfigurationError

Status = Literal["ok", "info", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """`what` names the thing and the value found; `remedy` is what a person can do, where there is need."""

    part: str
    status: Status
    what: str
    remedy: str = ""


def unread(part: str, what: str, error: ConfigurationError) -> Check:
    """Settings that this user may not see."""
    told = f"the settings of {what} cannot be read ({error.what})"
    return Check(
        part, "warn", told, "Give this user DescribeConfigs there; what follows from them is unchecked."
    )


def failed(part: str, error: ClickstreamError) -> Check:
    """An error of ours as a check that failed."""
    return Check(part, "fail", error.what, error.remedy)
