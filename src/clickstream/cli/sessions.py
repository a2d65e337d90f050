"""`clickstream sessions`: the sessions of logs of any size, as Parquet for other tools."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from clickstream.cli.options import HomeOption, Shop
from clickstream.infra.errors import MissingFileError, UsageError
from clickstream.infra.extras import need_history
from clickstream.infra.files import replace_file
from clickstream.infra.settings import Settings, load_settings
from clickstream.terminal.printable import plain
from clickstream.terminal.share_bar import share_bar

MemoryOption = Annotated[int, typer.Option(min=1_024, help="MiB that all processes together may take.")]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processes that fold; by default one a core.", show_default=False)
]
Engine = Literal["local", "spark"]
EngineOption = Annotated[
    Engine, typer.Option(help="What folds a folder's sessions: this machine, or Spark (extra `spark`).")
]
MasterOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Of Spark: local[2], spark://host:7077, yarn …; by default all cores here."
    ),
]


def spark_master(engine: Engine, master: str | None) -> str | None:
    """The master of Spark; None: sessions are folded without it."""
    if engine == "spark":
        return master or "local[*]"
    if master is not None:
        raise UsageError(f"--master {master} without --engine spark", "Add --engine spark.")
    return None


def sessions(
    logs: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders and patterns, also s3://bucket/…: CSV, JSON lines, Parquet; gz, zst."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for day=YYYY-MM-DD/sessions.parquet.")],
    mapping: Annotated[
        Path | None, typer.Option(help="TOML or SQL file that says which column of yours is which.")
    ] = None,
    refused: Annotated[
        Path | None, typer.Option(help="Write rows that could not be used there, at most 1,000: CSV.")
    ] = None,
    clicks: Annotated[
        bool, typer.Option("--clicks", help="With the clicks of each session, in order: `train` needs them.")
    ] = False,
    memory: MemoryOption = 2_048,
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    master: MasterOption = None,
    shop: Shop = None,
    home: HomeOption = None,
) -> None:
    """Write features, evidence and goal of each session of logs of any size, as Parquet by day.

    The same fold and rules as those of the stream; no models are asked, see `clickstream score` for them. A
    run that was ended goes on where it was; a folder that holds sessions of other logs is refused.

    Exit codes: 0 done; 64 wrong options; 65 a log or the mapping is not right; 66 a file is not there; 69 a
    worker was killed, or a store does not answer; 74 the disk is full; 78 the folder holds sessions of
    something else, a store refuses, the memory is too small or the extra history is missing; 130 stopped by
    Ctrl-C.
    """
    settings = load_settings(home=home, shop=shop)
    on_spark = spark_master(engine, master)
    write_history(
        logs, out, settings, mapping, refused, memory, workers, on_spark, scored=False, with_clicks=clicks
    )


def write_history(
    logs: list[str],
    out: Path,
    settings: Settings,
    mapping: Path | None,
    refused: Path | None,
    memory_mib: int,
    workers: int | None,
    master: str | None,
    *,
    scored: bool,
    with_clicks: bool = False,
) -> None:
    """Write the sessions of logs to the folder `out`, and say what became of them.

    Args:
        master: of Spark, where it folds them.
    """
    need_history("a log of any size")
    from clickstream.history.folder import REFUSED
    from clickstream.history.run import make_sessions
    from clickstream.terminal.history_view import show_history

    say = Console(stderr=True, highlight=False, soft_wrap=True)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file", "Sessions by day go to a folder: name one.")
    if refused is not None and not os.access(refused.absolute().parent, os.W_OK):
        raise MissingFileError(
            f"--refused {refused}: its folder is not there, or may not be written", "Name another."
        )
    try:
        with share_bar(say) as progress:
            if master is None:
                report = make_sessions(
                    logs,
                    out,
                    settings,
                    mapping=mapping,
                    scored=scored,
                    with_clicks=with_clicks,
                    memory_mib=memory_mib,
                    workers=workers or len(os.sched_getaffinity(0)),
                    progress=progress,
                )
            else:
                from clickstream.history.spark import make_sessions_on_spark

                progress(0.0, f"on Spark, {master}")
                report = make_sessions_on_spark(
                    logs,
                    out,
                    settings,
                    master=master,
                    mapping=mapping,
                    scored=scored,
                    with_clicks=with_clicks,
                )
    except KeyboardInterrupt:
        say.print("stopped; the same command goes on where it was")
        raise typer.Exit(130) from None
    if report is None:
        say.print(f"{plain(str(out))} holds all sessions of these logs: nothing was left to do")
    if refused is not None:
        replace_file(refused, (out / REFUSED).read_bytes())
    if report is not None:
        show_history(report, out, settings.bundle if scored else "", say)
