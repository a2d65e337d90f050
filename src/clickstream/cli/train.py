"""`clickstream train`: fit the models of a bundle, judge them, and write it: the first one is put in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from clickstream.bundles.signature import signing_key
from clickstream.cli.chosen_shop import chosen_definition
from clickstream.cli.options import ColumnsOption, DatasetOption, HomeOption, Shop
from clickstream.cli.shop_log import read_any_size, read_mapped_dataset
from clickstream.cli.topic import read_topic
from clickstream.cli.train_shop import train_any_shop
from clickstream.features.shop_file import UCI553_NAME
from clickstream.files.dataset import read_dataset
from clickstream.files.location import find_dataset
from clickstream.files.reading import is_of_duckdb
from clickstream.files.source import WHERE
from clickstream.infra.errors import BundleError, MissingFileError, UsageError
from clickstream.infra.extras import need
from clickstream.infra.room import check_room
from clickstream.infra.settings import Settings, load_settings
from clickstream.offline.recorded import read_recorded
from clickstream.offline.sample import as_session
from clickstream.offline.windows import cut_windows
from clickstream.operate.candidate import PromotionPolicy, decide, show_decision
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.terminal.steps import StepReport, step_report
from clickstream.terminal.training_view import show
from clickstream.training.comparison import compare, unseen
from clickstream.training.previous import PreviousBundle, read_previous
from clickstream.training.split import SplitKind
from clickstream.training.training import SetChoice, TrainingProgress, TrainingSession
from clickstream.training.training import train as fit
from clickstream.training.writing import write
from clickstream.windows.fingerprint import rules_of

# Without a terminal, a line for so many fits.
_LINES = 10


class SessionSource(NamedTuple):
    """Sessions, what they are called, and a hash of what they were read from."""

    name: str
    sha256: str
    sessions: list[TrainingSession]


def train(
    data: DatasetOption = None,
    mapping: ColumnsOption = None,
    shop: Shop = None,
    synthetic: Annotated[
        int | None, typer.Option(help="Train on N made-up sessions instead, to try things out.", min=500)
    ] = None,
    or_synthetic: Annotated[
        int | None, typer.Option(help="The same, but only where there is no dataset.", min=500)
    ] = None,
    from_topic: Annotated[
        bool, typer.Option("--from-topic", help="Train on the sessions of the clicks topic instead.")
    ] = False,
    clicks_topic: Annotated[str | None, typer.Option(help="Topic of the clicks, for --from-topic.")] = None,
    split: Annotated[
        SplitKind,
        typer.Option(help="What is held out to judge the models: the last months, or 20 % at random."),
    ] = "time",
    grid: Annotated[
        bool, typer.Option("--grid", help="Search the settings of the models first, on all cores (minutes).")
    ] = False,
    sets: Annotated[
        SetChoice,
        typer.Option("--set", help="Models to fit; those of the other set are those of the bundle in use."),
    ] = "both",
    seed: Annotated[int, typer.Option(help="Equal seeds on equal data give equal models.", min=0)] = 42,
    promotion: Annotated[
        PromotionPolicy,
        typer.Option(
            "--promote",
            help="Put it in use: where none is yet, where it is better than the one in use, or in any case.",
        ),
    ] = PromotionPolicy.first,
    home: HomeOption = None,
) -> None:
    """Fit all models on a dataset or a stream, and show how good they are.

    The first bundle is put in use. A later one is a candidate, which consumers do not touch: see --promote,
    `clickstream models compare` and `clickstream models promote`. With --shop the models are those of that
    shop, and predict its goal. --data may be a folder that `clickstream sessions --clicks` wrote.

    Exit codes: 0 done, promoted or not; 64 options contradict each other, or models cannot be taken over; 65
    the data cannot be used; 66 there is no data, the message says where to get it; 69 a server or store does
    not answer; 74 the bundle cannot be written; 78 a folder of sessions was made by other rules, or without
    clicks.
    """
    need("report", "training", "jinja2", "matplotlib")
    settings = load_settings(home=home, clicks_topic=clicks_topic, shop=shop)
    definition = chosen_definition(settings)
    if definition.name != UCI553_NAME:
        if or_synthetic or grid or (split, sets) != ("time", "both"):
            raise UsageError(
                f"models of shop {definition.name} are fitted to sessions that are divided by time",
                "Leave out --or-synthetic, --split, --grid and --set.",
            )
        if clicks_topic is not None and not from_topic:
            raise UsageError(f"--clicks-topic {clicks_topic} without --from-topic", "Add --from-topic.")
        train_any_shop(settings, definition, data, mapping, synthetic, from_topic, seed, promotion)
        return
    # A key that cannot be used would be found out after minutes of training.
    signing_key(settings)
    # So would a folder that cannot be written, or a full disk.
    check_room(settings.bundles)
    console = Console(highlight=False)
    step = step_report(console)

    source = read_sessions(
        settings,
        console,
        step,
        data=data,
        mapping=mapping,
        synthetic=synthetic,
        or_synthetic=or_synthetic,
        from_topic=from_topic,
        clicks_topic=clicks_topic,
        seed=seed,
    )
    previous = _previous(settings, sets)
    with _fits(console, step) as progress:
        fitted = fit(
            source.sessions,
            data_sha256=source.sha256,
            data_name=source.name,
            split=split,
            seed=seed,
            sets=sets,
            grid=grid,
            previous=previous,
            progress=progress,
        )
    step("report")
    bundle = write(fitted, settings)
    put_in_use = decide(
        settings,
        bundle,
        promotion,
        lambda one, other: compare(
            one, other, unseen(source.sessions, source.sha256, one.manifest, other.manifest)
        ),
    )
    step("written, verified, in use" if put_in_use.promoted else "written, verified")
    show(bundle.manifest, fitted.evaluation, bundle.path, console)
    show_decision(put_in_use, bundle.id, source.name, console)


def read_sessions(
    settings: Settings,
    console: Console,
    step: StepReport,
    *,
    data: Path | None,
    mapping: Path | None,
    synthetic: int | None,
    from_topic: bool,
    clicks_topic: str | None,
    seed: int,
    or_synthetic: int | None = None,
) -> SessionSource:
    """The sessions that the options of a command name.

    Raises:
        UsageError: they contradict each other.
        MissingFileError, InputError: there is no data, or it cannot be used.
    """
    if from_topic:
        if (data, synthetic, or_synthetic, mapping) != (None, None, None, None):
            raise UsageError(
                "--from-topic stands together with --data, --mapping or --synthetic",
                "Name one source of sessions.",
            )
        recorded = read_topic(settings, read_recorded, console, step)
        return SessionSource(settings.clicks_topic, recorded.sha256, recorded.sessions)
    if clicks_topic is not None:
        raise UsageError(f"--clicks-topic {clicks_topic} without --from-topic", "Add --from-topic.")
    if data is not None and (synthetic or or_synthetic) is None and is_of_duckdb(data):
        logged = read_any_size(data, mapping, settings, as_session, console, step)
        return SessionSource(data.name, logged.sha256, logged.sessions)
    if mapping is not None:
        return _from_mapped(data, synthetic or or_synthetic, mapping, settings, console, step)
    if or_synthetic is not None and synthetic is None and find_dataset(data) is None:
        synthetic = or_synthetic
    return _from_file(data, synthetic, seed, step)


def _from_file(data: Path | None, synthetic: int | None, seed: int, step: StepReport) -> SessionSource:
    file = None if synthetic else find_dataset(data)
    if file is None and synthetic is None:
        raise MissingFileError("there is no dataset to train on", "Name it with --data F. " + WHERE)
    step(f"reading {file}" if file else f"drawing {synthetic:,} synthetic sessions")
    dataset = read_dataset(file) if file else synthetic_dataset(synthetic or 0, seed)
    return SessionSource(
        dataset.name, dataset.sha256, [TrainingSession(*visit) for visit in dataset.visits()]
    )


def _from_mapped(
    data: Path | None,
    synthetic: int | None,
    mapping: Path,
    settings: Settings,
    console: Console,
    step: StepReport,
) -> SessionSource:
    step(f"reading {data}")
    dataset = read_mapped_dataset(data, mapping, synthetic, console)
    sessions = [
        TrainingSession(cut.closed.session_id, cut.day, cut.closed.session, cut.steps)
        for cut in cut_windows(dataset, rules_of(settings))
    ]
    sessions.sort(key=lambda one: (one.session.opened_at, one.session_id))
    return SessionSource(dataset.name, dataset.sha256, sessions)


def _previous(settings: Settings, sets: SetChoice) -> PreviousBundle | None:
    """The bundle in use; one that cannot be read is in nobody's way, but where its models are needed."""
    try:
        return read_previous(settings)
    except BundleError:
        if sets != "both":
            raise
        return None


@contextmanager
def _fits(console: Console, step: StepReport) -> Iterator[TrainingProgress]:
    """A bar for the fits of a grid on a terminal; else some lines."""
    if not console.is_terminal:

        def lines(done: int, total: int) -> None:
            if done and done * _LINES // total > (done - 1) * _LINES // total:
                step(f"{done} of {total} fits")

        yield TrainingProgress(step, lines)
        return
    with Bars(
        TextColumn("        {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bars:
        tasks: list[TaskID] = []

        def bar(done: int, total: int) -> None:
            if done == 0:
                tasks.append(bars.add_task("fits", total=total))
            bars.update(tasks[-1], completed=done, visible=done < total)

        yield TrainingProgress(step, bar)
