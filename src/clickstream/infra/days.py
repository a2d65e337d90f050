"""Days of event times, in UTC."""

from __future__ import annotations

import datetime

DAY_MS = 86_400_000

_EPOCH = datetime.date(1970, 1, 1)


def day_of(at: int) -> datetime.date:
    """The day of an event time, ms since the epoch."""
    return _EPOCH + datetime.timedelta(days=at // DAY_MS)


def midnight(day: datetime.date) -> int:
    """The first event time of a day."""
    return (day - _EPOCH).days * DAY_MS
