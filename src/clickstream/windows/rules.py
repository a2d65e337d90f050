"""What decides how a log becomes sessions."""

from __future__ import annotations

from dataclasses import dataclass

from clickstream.features.shop import UCI553, Shop


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides how a log becomes sessions, the shop included.

    Times are milliseconds; a `max_behind` of 0 is no bound. The values are those of the settings of the same
    names, and nothing is checked here.

    >>> from clickstream import Rules, Settings
    >>> Rules(gap=20 * 60_000).allowed_lateness
    60000
    >>> Rules(**Settings(gap="20min").rules) == Rules(gap=20 * 60_000)
    True
    """

    gap: int = 1_800_000
    allowed_lateness: int = 60_000
    max_ahead: int = 300_000
    max_behind: int = 0
    max_clicks: int = 1_000
    max_pending: int = 1_000
    max_open_sessions: int = 50_000
    max_record_bytes: int = 65_536
    shop: Shop = UCI553
