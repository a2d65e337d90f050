"""`clickstream score`: the sessions of a file, scored as the stream would."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO, TypeGuard, get_args

import typer
from rich.console import Console

from clickstream.bundles.bundle import load_bundle
from clickstream.cli.chosen_shop import chosen_definition
from clickstream.cli.options import HomeOption, Shop
from clickstream.cli.sessions import (
    EngineOption,
    MasterOption,
    MemoryOption,
    WorkersOption,
    spark_master,
    write_history,
)
from clickstream.features.shop import UCI553, shop_of
from clickstream.features.shop import Shop as ShopOfClicks
from clickstream.files.cleaning import CleaningReport
from clickstream.files.reading import read_any_mapping, read_clicks
from clickstream.infra.errors import UsageError
from clickstream.infra.files import replacing
from clickstream.infra.objects import url_of
from clickstream.infra.settings import load_settings
from clickstream.infra.words import counted
from clickstream.offline.scoring import FileScores, score_file
from clickstream.offline.writing import FileFormat, require, write_refused, write_sessions
from clickstream.producer.plan import PlanOptions, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.terminal.cleaning_view import show_cleaning
from clickstream.terminal.printable import plain
from clickstream.terminal.share_bar import share_bar
from clickstream.terminal.summary_view import (
    clusters_table,
    conversion_in_words,
    currency_of,
    predictions_table,
)

_STANDARD = Path("-")
_ENDINGS: dict[str, FileFormat] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_SAMPLES = 5


def score(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="The file of UCI 553, one like it, or what --mapping says; of another shop its log."
            " - = stdin. With --out FOLDER files, folders and patterns of any size, also s3://bucket/…",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the sessions there: .csv, .jsonl or .parquet; - = stdout. A pipe gets them too."
            " A folder: Parquet by day."
        ),
    ] = None,
    file_format: Annotated[
        FileFormat | None,
        typer.Option("--format", help="What is written, if not what the ending of --out says."),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="File that says which column of yours is which: TOML, or SQL.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="With --mapping: only show how many rows fit, and the first clicks."),
    ] = False,
    refused: Annotated[
        Path | None,
        typer.Option(help="Write the rows that could not be used there, with line and reason: CSV."),
    ] = None,
    reasons: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Name N features that moved the prediction of batch most: batch_reasons."
        ),
    ] = 0,
    bundle: Annotated[str | None, typer.Option(help="Bundle id, path, or champion.")] = None,
    memory: MemoryOption = 2_048,
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    master: MasterOption = None,
    shop: Shop = None,
    home: HomeOption = None,
) -> None:
    """Score the sessions of a file: the same fold, rules and models as those of the stream.

    With --shop the log of that shop, by its models; without --mapping it is JSON lines as on the topic.

    Rows that cannot be used are left out and counted, with the reason. Sessions go to --out, or into a pipe;
    progress and the summary go to standard error.

    Logs of any size, with --out FOLDER: day=YYYY-MM-DD/sessions.parquet, with predictions of the models that
    do not learn in the stream. A run that was ended goes on where it was; a folder that holds sessions of
    something else is refused.

    Exit codes: 0 done; 64 wrong options; 65 the file, the mapping or the bundle is not right; 66 the file is
    not there; 69 a worker was killed, or a store does not answer; 74 the disk is full; 78 Parquet
    cannot be written here, the folder holds sessions of something else, a store refuses or the memory is too
    small; 130 stopped by Ctrl-C.
    """
    on_spark = spark_master(engine, master)
    if _is_folder(out, file_format) and not check:
        if reasons:
            raise UsageError("--reasons with a folder", "Give one file to --out: --out sessions.parquet.")
        settings = load_settings(home=home, bundle=bundle, shop=shop)
        write_history(files, out, settings, mapping, refused, memory, workers, on_spark, scored=True)
        return
    if on_spark is not None:
        raise UsageError("--engine spark without a folder", "Say where sessions go by day: --out FOLDER.")
    file = _only(files)
    say = Console(stderr=True, highlight=False, soft_wrap=True)
    if out is None and not check and not sys.stdout.isatty():
        out = _STANDARD
    kind = _format(out, file_format)
    for name, path in (("--out", out), ("--refused", refused)):
        _check_target(name, path, file)
    settings = load_settings(home=home, bundle=bundle, shop=shop)
    definition = chosen_definition(settings)
    of_shop = shop_of(definition)
    layout = read_any_mapping(mapping, definition)
    source: Path | BinaryIO = sys.stdin.buffer if file == _STANDARD else file
    called = "standard input" if file == _STANDARD else None
    try:
        if check:
            if layout is None:
                raise UsageError("--check needs --mapping", "Without one, the file is scored at once.")
            clicks, cleaning = read_clicks(source, of_shop, layout, called)
            show_cleaning(cleaning, say)
            schedule = make_schedule(clicks, ScheduleOptions("dated"))
            plan = make_plan(schedule, PlanOptions(1, heartbeats=False))
            for publication in islice(plan.publications(), _SAMPLES):
                typer.echo(publication.value.decode())
            _write_refused(refused, cleaning)
            return
        models = load_bundle(settings)
        with share_bar(say) as progress:
            scores = score_file(
                source,
                bundle=models,
                settings=settings,
                name=called,
                mapping=layout,
                reasons=reasons,
                progress=progress,
            )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if out is not None:
        with _target("--out", out) as stream:
            write_sessions(scores.sessions, kind, stream)
    _write_refused(refused, scores.cleaning)
    _conclude(scores, of_shop, out, mapping is not None, say)


def _is_folder(out: Path | None, given: FileFormat | None) -> TypeGuard[Path]:
    """Whether sessions go to a folder: one that is there, or a name without an ending."""
    if out is None or out == _STANDARD or given is not None:
        return False
    return out.is_dir() or (not out.suffix and not out.exists())


def _only(files: list[str]) -> Path:
    file = Path(files[0])
    if (url := url_of(file)) is not None:
        raise UsageError(f"{url} lies in a store of objects", "Its sessions go to a folder: --out FOLDER.")
    if len(files) > 1 or file.is_dir():
        raise UsageError(
            f"{' '.join(files[:3])}{' …' if len(files) > 3 else ''} is more than one file",
            "Sessions of many files go to a folder: --out FOLDER.",
        )
    return file


def _format(out: Path | None, given: FileFormat | None) -> FileFormat:
    if out is None:
        if given is not None:
            raise UsageError(f"--format {given} without --out", "Say where to write: --out FILE, or --out -.")
        return "csv"
    kind = given or _ENDINGS.get(".csv" if out == _STANDARD else out.suffix.lower())
    if kind is None:
        raise UsageError(
            f"--out {out}: the ending {out.suffix or 'of nothing'} says no format",
            f"End it with {', '.join(_ENDINGS)}, or add --format {'|'.join(get_args(FileFormat))}.",
        )
    if kind == "parquet" and out == _STANDARD and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal", "Name a file: --out sessions.parquet.")
    require(kind)
    return kind


def _check_target(name: str, path: Path | None, source: Path) -> None:
    """What can be known before minutes of work."""
    if path is None or path == _STANDARD:
        return
    # A device or a pipe is written through; what else is there is replaced, which takes a folder to write.
    through = path.exists() and not (path.is_file() or path.is_dir())
    written = path if through else Path(os.path.realpath(path)).parent
    if path.is_dir() or not written.exists() or not os.access(written, os.W_OK):
        raise UsageError(
            f"{name} {path}: no file can be written there", "Name a file in a folder that is there."
        )
    if path.exists() and source.exists() and path.samefile(source):
        raise UsageError(f"{name} {path} is the file that is read", "Name another one.")


@contextmanager
def _target(name: str, path: Path) -> Iterator[BinaryIO]:
    if path == _STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with replacing(path) as stream:
            yield stream
    except OSError as error:
        raise UsageError(f"{name} {path}: {error.strerror}", "Name a file that can be written.") from error


def _write_refused(path: Path | None, cleaning: CleaningReport) -> None:
    if path is not None:
        with _target("--refused", path) as stream:
            write_refused(cleaning, stream)


def _conclude(
    scores: FileScores, shop: ShopOfClicks, out: Path | None, is_mapped: bool, say: Console
) -> None:
    show_cleaning(scores.cleaning, say)
    unknown, summary, bundle = scores.unknown, scores.summary, plain(scores.bundle)
    if unknown is not None and unknown.clicks:
        say.print(
            f"[yellow]{unknown.clicks:,} of {scores.cleaning.kept:,} clicks show what bundle {bundle} does"
            f" not know[/] ({counted(unknown.products, 'product')},"
            f" {counted(unknown.categories, 'category')}): it answers as"
            " if nothing were shown there. Train your own: clickstream train --data FILE"
            + (" --mapping …" if is_mapped else "")
        )
    if summary.without_predictions:
        say.print(
            f"[yellow]{summary.without_predictions:,} sessions have no predictions[/]: see column error"
        )
    say.print()
    # Nobody says in which currency the prices of a mapped file of uci553 are.
    currency = "" if shop is UCI553 and is_mapped else currency_of(shop)
    say.print(predictions_table(summary, shop, currency))
    say.print(clusters_table(summary))
    say.print(f"[dim]{conversion_in_words(summary, shop)} Bundle {bundle}.[/]")
    if out is not None and out != _STANDARD:
        say.print(f"{counted(summary.sessions, 'session')} written to {plain(str(out))}")
