"""Rows: clicks of shop uci553 that are known by their fields, as the dataset of its sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import numpy as np

from clickstream.files.dataset import Dataset
from clickstream.files.mapping.spec import UciMapping
from clickstream.files.rows import PageView
from clickstream.infra.days import day_of


def dataset_of_rows(name: str, sha256: str, time_source: str, rows: Iterable[Mapping[str, Any]]) -> Dataset:
    """The dataset of rows that are clicks already, by the names of their fields, in order session by session.

    Its sessions are in the order of their first clicks.
    """
    sessions = [list(group) for _, group in groupby(rows, key=lambda one: str(one["session_id"]))]
    sessions.sort(key=lambda session: (session[0]["event_time"], session[0]["session_id"]))
    views: dict[PageView, int] = {}
    view_of, orders, times = [], [], []
    for session in sessions:
        for one in session:
            view = PageView(*(one[field] for field in PageView._fields))
            view_of.append(views.setdefault(view, len(views)))
            orders.append(one["order"] or 0)
            times.append(one["event_time"])
    return Dataset(
        name,
        None,
        sha256,
        tuple(views),
        np.array(view_of, np.int32),
        tuple(session[0]["session_id"] for session in sessions),
        tuple(day_of(session[0]["event_time"]) for session in sessions),
        np.concatenate(([0], np.cumsum([len(session) for session in sessions]))).astype(np.int64),
        np.array(orders, np.int64),
        np.array(times, np.int64),
        time_source,
    )


def notes_of(mapping: UciMapping) -> tuple[str, ...]:
    """What of a click is not in the log, and how it is made of what is."""
    notes = []
    if mapping.clicks.price_2.derive is not None:
        notes.append("price_2 is derived: 1 above the mean price of the category's products in this file")
    if mapping.clicks.page.derive is not None:
        notes.append("page is derived: the different products of the category that the session has shown")
    return tuple(notes)
