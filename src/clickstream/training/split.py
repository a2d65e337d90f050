"""Which sessions the models learn from, and which are held out to evaluate them."""

from __future__ import annotations

import datetime
import random
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

from clickstream.infra.errors import InputError

SplitKind = Literal["time", "random"]

TRAIN_SHARE = {"time": 0.7, "random": 0.8}

# Between these shares of the sessions the first of a month is taken: a whole month is easier to talk about.
_MONTH_BETWEEN = (0.5, 0.9)


def first_day_held_out(days: Sequence[datetime.date]) -> datetime.date:
    """The day that divides the sessions about 70 to 30, the first of a month where one comes near.

    In the 2008 dataset that is 1 July: April to June against July and August.

    Raises:
        InputError: the sessions are not of two days at least.
    """
    counts = Counter(days)
    distinct = sorted(counts)
    before = dict(zip(distinct[1:], accumulate(counts[day] for day in distinct), strict=False))
    shares = {day: count / len(days) for day, count in before.items()}
    if not shares:
        raise InputError(
            f"{len(days)} sessions of {len(counts)} days cannot be divided by time",
            "Give data of more days, or divide at random with --split random.",
        )
    earlier = dict(zip(distinct[1:], distinct, strict=False))
    low, high = _MONTH_BETWEEN
    months = [
        day
        for day, share in shares.items()
        if low <= share <= high and (day.year, day.month) != (earlier[day].year, earlier[day].month)
    ]
    return min(months or shares, key=lambda day: abs(shares[day] - TRAIN_SHARE["time"]))


def held_out(days: Sequence[datetime.date], kind: SplitKind, seed: int) -> list[bool]:
    """Decide for each session, in time order, whether it is held out."""
    if kind == "time":
        first = first_day_held_out(days)
        return [day >= first for day in days]
    places = list(range(len(days)))
    random.Random(seed).shuffle(places)
    kept = set(places[: round(TRAIN_SHARE["random"] * len(days))])
    return [place not in kept for place in range(len(days))]
