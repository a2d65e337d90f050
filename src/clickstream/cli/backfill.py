"""`clickstream backfill`: the sessions of closed days from files onto the topic of scores, each once."""

from __future__ import annotations

import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from clickstream.bundles.bundle import load_bundle
from clickstream.cli.chosen_shop import chosen_definition
from clickstream.cli.options import HomeOption, Shop
from clickstream.features.shop import UCI553, shop_of
from clickstream.infra import logs
from clickstream.infra.errors import UsageError
from clickstream.infra.extras import need_history
from clickstream.infra.settings import load_settings
from clickstream.infra.words import counted
from clickstream.local.servers import with_running_servers
from clickstream.windows.fingerprint import rules_of

if TYPE_CHECKING:
    from clickstream.history.backfill import BackfillReport, Days

_BUCKETS = 16
_MEMORY_MIB = 1_024


def backfill_days(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, patterns, also s3://…: a log with event times that goes beyond the days."
        ),
    ],
    day: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="The day, UTC, on which sessions open.")],
    to: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="The last day, where there are more than one.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="TOML or SQL file that says which column of yours is which.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group beside which it is done.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Bundle id, path, or champion.")] = None,
    shop: Shop = None,
    home: HomeOption = None,
) -> None:
    """Publish the scores of closed days from files, where they are not on the topic of scores yet.

    What is there is left as it is, so a run that was stopped goes on when it is started again. batch and
    reference answer; online models learn in the stream alone. The group must have passed the days.

    Exit codes: 0 done; 64 wrong options; 65 the file, the mapping or the bundle is not right; 66 the file is
    not there; 69 a server does not answer: run it again; 74 the disk is full; 75 another run took
    over; 78 the days are not over, or the memory is too small.
    """
    need_history("a log of any size")
    from clickstream.files.history import open_clicks
    from clickstream.files.history.stored import at_hand, find_log
    from clickstream.history.backfill import backfill
    from clickstream.history.fold import fold_windows
    from clickstream.terminal.history_view import show_rows

    say = Console(stderr=True, highlight=False, soft_wrap=True)
    settings = with_running_servers(load_settings(home=home, bundle=bundle, shop=shop, group=group))
    logs.configure(settings)
    days = _days(day, to)
    definition = chosen_definition(settings)
    if definition is UCI553.definition and mapping is None:
        raise UsageError("the layout of UCI 553 has days, and no times", "Give a --mapping.")
    models, rules = load_bundle(settings), rules_of(settings)
    patience_s = settings.patience / 1_000
    log = find_log(files, patience_s)
    with TemporaryDirectory(prefix="clickstream-") as folder:
        work = Path(folder)
        with at_hand(log, work / "stored", patience_s) as paths:
            clicks = open_clicks(
                paths, shop_of(definition), mapping, work=work, memory_mib=_MEMORY_MIB, buckets=_BUCKETS
            )
        show_rows(clicks, say)
        with say.status("reading what is there") as status:
            report = backfill(
                fold_windows(clicks.all_batches(), rules.shop, rules),
                days,
                bundle=models,
                settings=settings,
                progress=lambda now: status.update(
                    f"{now.published:,} published, {now.present:,} were there"
                ),
            )
    _conclude(report, days, settings.scores_topic, say)


def _days(day: str, to: str | None) -> Days:
    from clickstream.history.backfill import Days

    try:
        days = Days(datetime.date.fromisoformat(day), datetime.date.fromisoformat(to or day))
    except ValueError as error:
        raise UsageError(f"--day {day}: {error}", "Write it as 2026-11-01.") from error
    if days.last < days.first:
        raise UsageError(f"--to {days.last} is before --day {days.first}", "Give the last day, or none.")
    return days


def _conclude(report: BackfillReport, days: Days, topic: str, say: Console) -> None:
    named = str(days.first) if days.first == days.last else f"{days.first} to {days.last}"
    say.print(
        f"{counted(report.published, 'score')} of {named} published to {topic};"
        f" {report.present:,} were there; {counted(report.other_days, 'session')} of other days"
    )
    if report.errors:
        say.print(f"[yellow]{report.errors:,} of them have no predictions[/]: see field error")
    if report.unfinished:
        say.print(
            f"[yellow]{counted(report.unfinished, 'session')} may still be open in the stream[/]: left out;"
            " run it again later"
        )
    if report.headless:
        say.print(
            f"[yellow]{counted(report.headless, 'session')} may have begun before the first click of the"
            " files[/], and so have other names: give them the hour before, too"
        )
    if report.endless:
        say.print(
            f"[yellow]{counted(report.endless, 'session')} may go on after the last click of the files[/]:"
            " give them the hour after, too"
        )
