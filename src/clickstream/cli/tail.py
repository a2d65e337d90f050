"""`clickstream scores tail`: the scores as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console

from clickstream.cli.options import Shop as ShopOption
from clickstream.features.shop import UCI553, Shop
from clickstream.infra.errors import UsageError
from clickstream.infra.kafka import Reader, Record
from clickstream.infra.settings import load_settings
from clickstream.local.servers import with_running_servers
from clickstream.models.scorers import scorers_of
from clickstream.records.reading import read_open_score, read_score
from clickstream.records.reasons import ClosedBy
from clickstream.records.scorers import SCORERS, ScorerName
from clickstream.records.shops import load_shop
from clickstream.terminal.printable import printable
from clickstream.terminal.scores.fields import ScoreObject, all_fields, find_field, of_shop
from clickstream.terminal.scores.filters import chosen
from clickstream.terminal.scores.writers import (
    FieldTableWriter,
    JsonFieldWriter,
    LineWriter,
    TableWriter,
    TsvFieldWriter,
    Writer,
)
from clickstream.terminal.stopping import interruptible

_PATIENCE_S = 5.0
_MOST_ANNOUNCED = 20

# Shown as TSV where nobody named columns, as far as the shop has them.
_COLUMNS = (
    "session_id",
    "clicks",
    "closed_by",
    *(f"{name}.conversion" for name in SCORERS),
    "revenue",
    "cluster",
)


_OPEN_COLUMNS = ("session_id", "clicks", "batch.conversion", "online.conversion", "cluster", "conditions")


class FormatChoice(StrEnum):
    """How a score is written."""

    json = "json"
    tsv = "tsv"


def tail(
    shop: ShopOption = None,
    scores_topic: Annotated[str | None, typer.Option(help="Topic of the scores.")] = None,
    opened: Annotated[
        bool, typer.Option("--open", help="Scores of sessions that are open, not of those that closed.")
    ] = False,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest score, not with the next one.")
    ] = False,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Show what is on the topic now, oldest first, and stop.")
    ] = False,
    most: Annotated[int | None, typer.Option("--max", help="Stop after so many scores.", min=1)] = None,
    cluster: Annotated[str | None, typer.Option(help="Only sessions of the cluster of this name.")] = None,
    min_conversion: Annotated[
        float | None, typer.Option(help="Only sessions that convert with this probability or more.")
    ] = None,
    max_conversion: Annotated[
        float | None, typer.Option(help="Only sessions that convert with this probability or less.")
    ] = None,
    scorer: Annotated[
        ScorerName, typer.Option(help="Whose conversion and cluster the filters look at.")
    ] = "batch",
    closed_by: Annotated[ClosedBy | None, typer.Option(help="Only sessions that this closed.")] = None,
    session: Annotated[str | None, typer.Option(help="Only this session id.")] = None,
    condition: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help='Only scores of which this is true, as: conversion > 0.8 and cluster == "long".',
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="FIELD,…", help="Show these fields, as: session_id,batch.conversion,last_page."),
    ] = None,
    format_: Annotated[
        FormatChoice | None, typer.Option("--format", help="JSON lines or TSV, also on a terminal.")
    ] = None,
) -> None:
    """Follow the scores topic: a table on a terminal, JSON lines in a pipe.

    With --open it is the topic of open scores, which settings open_scores and open_conditions fill.

    Without --columns a line is the record as it is on the topic. In --where and --columns, conversion,
    revenue and cluster are those of --scorer, and any other field goes by its full name or the end of it.
    Features are those of the shop; a score of another shop has none here, and the first one is announced.

    Subscribes without a group, so it disturbs nobody, and sees committed scores only. Ctrl-C ends it.
    """
    settings = load_settings(shop=shop, scores_topic=scores_topic)
    ours = load_shop(settings.shop)
    if scorer not in scorers_of(ours):
        raise UsageError(
            f"--scorer {scorer}: shop {ours.definition.name} has no such scorer",
            f"It has {', '.join(scorers_of(ours))}.",
        )
    passes = chosen(
        scorer,
        cluster,
        min_conversion,
        max_conversion,
        closed_by,
        session,
        condition,
        ours,
        opened,
    )
    writer = _writer(format_, columns, scorer, ours, opened)
    others = _OtherShops(ours)
    settings = with_running_servers(settings)
    # An option that names a topic names the one that is shown.
    topic = settings.open_scores_topic if opened and scores_topic is None else settings.scores_topic
    read_one = read_open_score if opened else read_score
    where = f"{topic} at {settings.kafka_bootstrap}"
    left = most
    try:
        with interruptible(), closing(Reader(settings, topic)) as reader:
            ends = reader.decided_ends().offsets if until_end else reader.end_offsets()
            if not (from_beginning or until_end):
                for partition, offset in ends.items():
                    reader.seek(partition, offset)
            for batch in _until(reader, ends) if until_end else _for_ever(reader, writer, where):
                read = ((record, others.notice(read_one(record.value))) for record in batch)
                wanted = ((record, score) for record, score in read if passes(score))
                for record, score in islice(wanted, left):
                    writer.write(record.value or b"", score)
                    if left is not None:
                        left -= 1
                writer.flush()
                if left == 0:
                    return
    except KeyboardInterrupt:
        return


class _OtherShops:
    """Scores that are not of the shop that is set: the first one of each is announced."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._announced: set[str] = set()

    def notice(self, score: ScoreObject | None) -> ScoreObject | None:
        """What can be said of a score, None for what is none."""
        if score is None:
            return None
        known = of_shop(score, self._shop)
        if known is not score:
            self._announce(score.get("shop"))
        return known

    def _announce(self, shop: object) -> None:
        label = UCI553.label
        if isinstance(shop, dict):
            label = printable(f"{shop.get('name')}/{shop.get('hash')}")
        if label in self._announced or len(self._announced) >= _MOST_ANNOUNCED:
            return
        self._announced.add(label)
        typer.echo(
            f"There are scores of shop {label}; the shop that is set is {self._shop.label}, so their features"
            " are not shown. --shop FILE|NAME sets another.",
            err=True,
        )


def _writer(
    format_: FormatChoice | None, columns: str | None, scorer: str, shop: Shop, opened: bool
) -> Writer:
    on_terminal = sys.stdout.isatty()
    if columns is None and format_ is not FormatChoice.tsv and not (opened and on_terminal and not format_):
        return TableWriter(Console(), scorer, shop) if on_terminal and format_ is None else LineWriter()
    fields = [
        find_field(name.strip(), scorer, shop, opened) for name in _columns(columns, scorer, shop, opened)
    ]
    if format_ is FormatChoice.tsv:
        return TsvFieldWriter(fields)
    return FieldTableWriter(Console(), fields) if on_terminal and format_ is None else JsonFieldWriter(fields)


def _columns(asked: str | None, scorer: str, shop: Shop, opened: bool) -> list[str]:
    if asked is not None:
        return asked.split(",")
    if opened:
        return list(_OPEN_COLUMNS)
    known = all_fields(shop)
    absent = {f"{name}.conversion" for name in SCORERS if name not in scorers_of(shop)}
    if f"predictions.{scorer}.revenue" not in known:
        absent.add("revenue")
    return [name for name in _COLUMNS if name not in absent]


def _until(reader: Reader, ends: dict[int, int]) -> Iterator[list[Record]]:
    for batch in reader.read_to(ends):
        yield [record for record in batch if record.offset < ends[record.partition]]


def _for_ever(reader: Reader, writer: Writer, where: str) -> Iterator[list[Record]]:
    """Batches as they come, until nobody reads; on a terminal, says what it waits for."""
    silent_since, is_said = time.monotonic(), not sys.stderr.isatty()
    while writer.is_read():
        batch = reader.poll()
        if batch:
            yield batch
            silent_since = time.monotonic()
        elif not is_said and time.monotonic() - silent_since > _PATIENCE_S:
            is_said = True
            message = (
                f"Waiting for scores on {where}. --from-beginning shows those that are there; Ctrl-C ends."
            )
            typer.echo(message, err=True)
