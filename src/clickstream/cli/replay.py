"""`clickstream replay`: the dataset as a live stream on the clicks topic."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from clickstream.cli.chosen_shop import chosen_definition
from clickstream.cli.options import Shop
from clickstream.cli.shop_log import read_mapped_dataset, read_shop_log
from clickstream.features.shop import UCI553
from clickstream.files.click_log import ClickLog
from clickstream.files.dataset import UCI_CLICKS, UCI_SESSIONS, Dataset, read_dataset
from clickstream.files.location import find_dataset
from clickstream.files.source import WHERE
from clickstream.infra.errors import MissingFileError, UsageError
from clickstream.infra.files import replace_file
from clickstream.infra.settings import Settings, load_settings
from clickstream.local.servers import with_running_servers
from clickstream.producer.faults import parse_faults
from clickstream.producer.plan import Plan, PlanOptions, make_plan
from clickstream.producer.replay import (
    KafkaSink,
    LineSink,
    Pace,
    ReplayProgress,
    find_start,
    prepare,
    publish,
)
from clickstream.producer.schedule import Calendar, ScheduleOptions, make_schedule
from clickstream.producer.start import ReplayStart, StartMode, show_time
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.terminal.stopping import asked_to_stop

_LINE_EVERY_S = 5.0
_SAMPLES = 3


def _day(name: str, words: str) -> Any:
    return typer.Option(name, formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help=words)


def replay(
    data: Annotated[
        Path | None,
        typer.Option(
            help="The file of UCI 553, or one like it; else $CLICKSTREAM_DATA, or one in data/. For another"
            " shop its log."
        ),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            help="File that says which column of --data is which, TOML or SQL; its own times are kept."
        ),
    ] = None,
    synthetic: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="N sessions drawn to its statistics, or of shop synthetic; labelled so."
        ),
    ] = None,
    or_synthetic: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The same, but only where there is no dataset.")
    ] = None,
    speed: Annotated[
        str, typer.Option(metavar="N|max", help="N times faster than event time, or as fast as possible.")
    ] = "60",
    calendar: Annotated[
        Calendar | None,
        typer.Option(
            help="Each day on its date, as is the default for times of its own, or all days laid over one."
        ),
    ] = None,
    first: Annotated[datetime | None, _day("--from", "First day of the file to take.")] = None,
    last: Annotated[datetime | None, _day("--to", "Last day of the file to take.")] = None,
    sessions: Annotated[int | None, typer.Option(min=1, help="Take the first so many sessions.")] = None,
    seed: Annotated[int, typer.Option(help="Other seeds give other times.")] = 42,
    topic: Annotated[str | None, typer.Option(help="Topic of the clicks.")] = None,
    shop: Shop = None,
    partitions: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Partitions of the topic, where it is created.")
    ] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Move the run behind the last record on the topic.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the last record of this very replay.")
    ] = False,
    heartbeats: Annotated[
        bool, typer.Option(help="Carry event time forward where no clicks are; closes every session.")
    ] = True,
    faults: Annotated[
        str, typer.Option(metavar="late=0.01,…", help="late, duplicate, drop, reorder, malformed.")
    ] = "",
    fault_seed: Annotated[int, typer.Option(help="Other seeds hit other clicks.")] = 1,
    ledger: Annotated[
        Path | None, typer.Option(help="Write here, as JSON lines, where each fault must show.")
    ] = None,
    sink: Annotated[Literal["kafka", "stdout"], typer.Option(help="Where records go.")] = "kafka",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
) -> None:
    """Publish the dataset's clicks in event-time order, at a pace, with made-up times (labelled synthetic).

    With --mapping, or for another shop (--shop), a log of your own, with its own times.

    The same file, options and seed give the same records. Ctrl-C or SIGTERM stops cleanly; after that, a
    crash or a lost broker, the same command with --resume loses and repeats nothing.

    Exit codes: 0 all was delivered; 64 wrong options; 65 the file is not right; 66 it is not there; 69 no
    broker, or it went away; 78 the topic holds other records; 130, 143 stopped by Ctrl-C, SIGTERM.
    """
    if append and resume:
        raise UsageError(
            "--append and --resume exclude each other", "--resume also goes on with a run that was appended."
        )
    if sink != "kafka" and (append or resume):
        raise UsageError(
            "--append and --resume need --sink kafka", "Nothing is there to go on from elsewhere."
        )
    pace = Pace(_speed(speed))
    settings = load_settings(clicks_topic=topic, shop=shop)
    definition = chosen_definition(settings)
    fault_options = parse_faults(faults, fault_seed)
    say = Console(stderr=True, highlight=False, soft_wrap=True)
    if definition is not UCI553.definition:
        if data is None and synthetic is None:
            synthetic = or_synthetic
        dataset: ClickLog = read_shop_log(definition, data, mapping, synthetic, seed, say)
        say.print(f"{dataset.name}: {len(dataset)} clicks, {len(dataset.session_ids)} sessions")
    elif mapping is None:
        if or_synthetic is not None and synthetic is None and find_dataset(data) is None:
            synthetic = or_synthetic
        dataset = _dataset(data, synthetic, seed, say)
    else:
        dataset = read_mapped_dataset(data, mapping, synthetic or or_synthetic, say)
    if calendar is None:
        calendar = "busy-day" if dataset.times is None else "dated"
    days = (first.date() if first else None, last.date() if last else None)
    schedule = make_schedule(dataset, ScheduleOptions(calendar, seed, *days, sessions))
    on_kafka = sink == "kafka" and not dry_run
    count = partitions or settings.partitions
    if on_kafka:
        settings = with_running_servers(settings)
        count = prepare(settings, partitions).partitions
    options = PlanOptions.of(settings, count, heartbeats, fault_options)
    if dry_run:
        _describe(make_plan(schedule, options), speed)
        return
    mode: StartMode = "append" if append else "resume" if resume else "new"
    start = (
        find_start(mode, settings, schedule, options)
        if on_kafka
        else ReplayStart(make_plan(schedule, options))
    )
    if ledger is not None:
        _write_ledger(ledger, start.plan)
    run = start.plan.schedule.run
    if run > 1:
        say.print(
            f"run {run} begins at {show_time(start.plan.first_due)}; its session ids begin with r{run}-"
        )
    raise typer.Exit(_publish(start, settings if on_kafka else None, pace, say))


def _publish(start: ReplayStart, settings: Settings | None, pace: Pace, say: Console) -> int:
    """Publish what is left of a plan, on Kafka or standard output; the exit code."""
    plan, left = start.plan, len(start.plan.left(start.after))
    if not left:
        say.print(
            f"this replay is complete on {settings.clicks_topic if settings else 'standard output'}:"
            f" all {len(plan)} records are there, nothing was sent"
        )
        return 0
    if left < len(plan):
        say.print(f"going on after {len(plan) - left} of {len(plan)} records")
    if start.overtaken:
        say.print(
            f"[yellow]{start.overtaken} clicks will be late:[/] while the replay was away, consumers"
            " carried event time beyond them"
        )
    sink = KafkaSink(settings, plan, hurried=pace.unlimited) if settings else LineSink(sys.stdout.buffer)
    stop = asked_to_stop()
    try:
        with _progress(left, say) as progress:
            report = publish(plan.publications(start.after), sink, pace, stop, progress)
    finally:
        if isinstance(sink, KafkaSink):
            sink.close()
    sent = report.clicks + report.heartbeats
    sessions = "" if report.stopped else f" of {plan.schedule.session_count} sessions"
    say.print(
        f"sent {report.clicks} clicks{sessions} and {report.heartbeats} heartbeats in {report.seconds:.1f} s:"
        f" {sent / max(report.seconds, 1e-9):,.0f} records/s"
    )
    if not report.stopped:
        return 0
    how = "; the same command with --resume goes on" if settings else ""
    say.print(f"stopped with {left - sent} records to go{how}")
    return 128 + stop.signal


def _dataset(data: Path | None, synthetic: int | None, seed: int, say: Console) -> Dataset:
    if synthetic is not None:
        if data is not None:
            raise UsageError("--data and --synthetic exclude each other", "Leave one out.")
        dataset = synthetic_dataset(synthetic, seed)
        kind = "synthetic clicks, drawn to the statistics of UCI 553"
    else:
        file = find_dataset(data)
        if file is None:
            raise MissingFileError("there is no dataset to replay", "Name it with --data F. " + WHERE)
        dataset = read_dataset(file)
        kind = (
            "the file of UCI 553"
            if dataset.is_uci
            else (
                f"not the file of UCI 553 ({UCI_CLICKS} clicks, {UCI_SESSIONS} sessions), but in good order"
            )
        )
    say.print(f"{dataset.name}: {len(dataset)} clicks, {len(dataset.session_ids)} sessions; {kind}")
    return dataset


def _speed(text: str) -> float | None:
    """None for max."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 1 <= speed < 1e9:
        raise UsageError(
            f"--speed {text} is not a number from 1 on, or max",
            "Slower than event time, consumers would take the silences for the end of visits.",
        )
    return speed


def _describe(plan: Plan, speed: str) -> None:
    """What a replay would send, on standard output."""
    schedule, options = plan.schedule, plan.options
    visitors, windows = schedule.load(0), schedule.load(options.gap)
    factor = _speed(speed)
    lasts = f"{(plan.last_due - plan.first_due) / 1000 / factor:,.0f} s" if factor else "as Kafka takes it"
    heartbeats = len(plan) - plan.clicks
    lines = {
        "clicks": f"{plan.clicks} of {schedule.session_count} sessions, with faults",
        "heartbeats": f"{heartbeats} on {options.partitions} partitions",
        "event time": f"{show_time(int(schedule.times[0]))} to {show_time(int(schedule.times[-1]))} UTC",
        "visitors at once": f"{visitors.mean:,.1f} mean, {visitors.peak} peak",
        "open sessions": f"{windows.mean:,.1f} mean, {windows.peak} peak",
        f"at speed {speed}": lasts,
        "replay": plan.fingerprint,
    }
    if not any(options.faults.probabilities):
        lines["clicks"] = f"{plan.clicks} of {schedule.session_count} sessions"
    else:
        counts = Counter(entry["fault"] for entry in plan.ledger())
        lines["faults"] = ", ".join(f"{fault} {count}" for fault, count in counts.items())
    for name, value in lines.items():
        typer.echo(f"{name:<17} {value}")
    for publication in islice(plan.publications(), _SAMPLES):
        typer.echo(publication.value.decode(errors="backslashreplace"))


def _write_ledger(file: Path, plan: Plan) -> None:
    try:
        replace_file(file, b"".join(orjson.dumps(entry) + b"\n" for entry in plan.ledger()))
    except OSError as error:
        raise UsageError(f"--ledger {file}: {error.strerror}", "Name a file that can be written.") from error


@contextmanager
def _progress(total: int, say: Console) -> Iterator[ReplayProgress]:
    """A bar on a terminal, else a line every few seconds; both on standard error."""
    if not say.is_terminal:
        yield _Lines(total, say)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=say, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda sent, due: bar.update(task, completed=sent, description=show_time(due))


class _Lines:
    def __init__(self, total: int, say: Console) -> None:
        self._total = total
        self._say = say
        self._told = time.monotonic()

    def __call__(self, sent: int, due: int) -> None:
        now = time.monotonic()
        if now - self._told >= _LINE_EVERY_S:
            self._told = now
            self._say.print(f"{sent} of {self._total} records sent, event time {show_time(due)}")
