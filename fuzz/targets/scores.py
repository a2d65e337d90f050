"""Records of the scores topics, to which others may write: each of our readers takes a score or passes over
it, and what is read can be shown, filtered, compared and counted.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
from pydantic import ValidationError
from rich.console import Console

from clickstream.audit.published import checked_letter, checked_open_score, checked_score
from clickstream.consumer.score_evaluation import score_reader as evaluation_reader
from clickstream.dashboard.arrived import score_reader as dashboard_reader
from clickstream.features.shop import UCI553, Shop, shop_of
from clickstream.features.shop_file import built_in
from clickstream.records.reading import read_open_score, read_score
from clickstream.records.score import COMPARISONS, Score, digest_line
from clickstream.terminal.scores.fields import ScoreField, find_field, of_shop
from clickstream.terminal.scores.filters import ScoreFilter, chosen
from clickstream.terminal.scores.writers import FieldTableWriter, TableWriter
from fuzz.contract import refusing

_SHOPS = [UCI553, shop_of(built_in("online-store"))]
_WHERE = "conversion * 2 > clicks / 3 and not (session_id == closed_by) or error != null"


@dataclass
class ReadRecord:
    """A record as a client hands it over."""

    value: bytes | None
    topic: str = "scores"
    partition: int = 0
    offset: int = 7
    key: bytes | None = b"visit"
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int | None = 1_000


def check(data: bytes) -> None:
    """Read one record by every reader."""
    record = ReadRecord(value=data)
    checked_letter(record)
    checked_open_score(record)
    if isinstance(score := checked_score(record), dict):
        for comparison in COMPARISONS:
            digest_line(score, comparison)
    with refusing(ValidationError):
        Score.model_validate_json(data)
    for shop in _SHOPS:
        evaluation_reader(shop)(data)
        dashboard_reader(shop)(data)
        for opened, read in ((False, read_score), (True, read_open_score)):
            if (found := read(data)) is not None:
                _show(data, of_shop(found, shop), shop, opened)


def _show(value: bytes, score: Any, shop: Shop, opened: bool) -> None:
    fields, filters = _wanted(shop, opened)
    for passes in filters:
        passes(score)
    console = Console(file=io.StringIO(), width=200)
    for writer in (FieldTableWriter(console, fields), TableWriter(console, "batch", shop))[: 2 - opened]:
        writer.write(value, score)
        writer.flush()
    orjson.dumps({field.name: field.of(score) for field in fields})


@cache
def _wanted(shop: Shop, opened: bool) -> tuple[list[ScoreField], list[ScoreFilter]]:
    """What is asked for of a score by name, and by options and conditions."""
    names = ("session_id", "clicks", "conversion", "error")
    filters = [chosen("batch", "long", 0.5, 0.9, "gap", "visit", None, shop), chosen(where=_WHERE, shop=shop)]
    return [find_field(name, "batch", shop, opened) for name in names], [] if opened else filters
