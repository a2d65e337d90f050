"""`clickstream demo`: the whole system on this machine, and what came of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from clickstream.audit import AuditReport, run_audit
from clickstream.audit.verdict import EXIT_CODES
from clickstream.bundles.bundle import load_bundle
from clickstream.bundles.manifest import Manifest
from clickstream.cli.chosen_shop import chosen_definition
from clickstream.cli.options import ColumnsOption, ServerHomeOption, Shop
from clickstream.cli.replayed import ReplayedClicks, replayed_clicks
from clickstream.cli.train import train
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings, load_settings
from clickstream.infra.words import counted
from clickstream.local.demo import DemoRun
from clickstream.local.embedded import embedded_servers
from clickstream.local.servers import announced
from clickstream.operate.candidate import PromotionPolicy
from clickstream.producer.schedule import Calendar
from clickstream.terminal.printable import plain
from clickstream.terminal.stopping import interruptible
from clickstream.terminal.summary_view import (
    clusters_table,
    conversion_in_words,
    currency_of,
    predictions_table,
)


def demo(
    data: Annotated[
        Path | None, typer.Option(help="The UCI file, zip or CSV; for another shop its log.")
    ] = None,
    mapping: ColumnsOption = None,
    shop: Shop = None,
    speed: Annotated[str, typer.Option(help="Times faster than the shop's clock, or max.")] = "max",
    sessions: Annotated[int | None, typer.Option(help="Replay the first N sessions only.", min=1)] = None,
    consumers: Annotated[int, typer.Option(help="Consumer processes.", min=1, max=16)] = 2,
    calendar: Annotated[
        Calendar | None,
        typer.Option(help="Each day on its date, as is the default for times of its own, or all over one."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep everything running at the end.")] = False,
    home: ServerHomeOption = None,
) -> None:
    """Run the main job on this machine: a real Kafka, a real Valkey, two consumers, the whole dataset.

    With --shop the clicks and models of that shop, which are trained where it has none yet. Without --data,
    made-up clicks stand in for uci553, synthetic and online-store.

    Ends with what the scores say and with an audit of every one of them. Leaves nothing running.
    """
    console = Console()
    settings = load_settings(home=home, shop=shop)
    clicks = replayed_clicks(chosen_definition(settings), data, mapping)
    with _ended_by_signals(), ExitStack() as stack:
        settings = _servers(settings, stack, console)
        manifest = _bundle(settings, clicks, console)
        if clicks.note is not None:
            console.print(f"[yellow]{clicks.note}[/]")
        words = [*clicks.words(sessions), "--speed", speed]
        if calendar is not None:
            words += ["--calendar", calendar]
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clickstream-demo-")))
        run = DemoRun(settings, logs, consumers, words)
        stack.callback(run.close)
        _watch(run, console)
        if keep:
            run.read_scores()
        else:
            run.finish()
        with console.status("Auditing every score against the log ..."):
            report = run_audit(settings, bundle=settings.bundle)
        _conclude(console, run, report, manifest)
        if keep:
            _stay(console, settings, run)
    if not report.clean:
        raise typer.Exit(EXIT_CODES[report.verdict])


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    try:
        with interruptible():
            yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _servers(settings: Settings, stack: ExitStack, console: Console) -> Settings:
    """Fresh topics: on servers of our own that start empty, or under names of their own on given ones."""
    if settings.kafka_bootstrap and settings.redis_url:
        run = f"demo-{time.time_ns() // 1_000_000}"
        names = {
            "clicks_topic": f"{run}.clicks",
            "scores_topic": f"{run}.scores",
            "open_scores_topic": f"{run}.scores.open",
            "dead_letter_topic": f"{run}.clicks.dead-letter",
            "group": run,
        }
        return settings.model_copy(update=names)
    settings.home.mkdir(parents=True, exist_ok=True)
    data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-", dir=settings.home)))
    began = time.monotonic()
    with console.status("Starting Kafka and Valkey ..."):
        servers = stack.enter_context(embedded_servers(settings.home, data=data, notify=console.print))
    stack.enter_context(announced(settings.home, servers.bootstrap, servers.url))
    took = time.monotonic() - began
    console.print(
        f"[green]✓[/] Kafka at {servers.bootstrap} and Valkey at {servers.url}, started in {took:.1f} s"
    )
    return load_settings(
        home=settings.home,
        shop=settings.shop,
        kafka_bootstrap=servers.bootstrap,
        redis_url=servers.url,
    )


def _bundle(settings: Settings, clicks: ReplayedClicks, console: Console) -> Manifest:
    try:
        bundle = load_bundle(settings)
    except BundleError as error:
        console.print(f"[dim]{error.what}: training one[/]")
        # Nobody can use the one that is in use, where there is one.
        train(
            data=clicks.data,
            mapping=clicks.mapping,
            shop=settings.shop,
            synthetic=clicks.synthetic,
            home=settings.home,
            promotion=PromotionPolicy.always,
        )
        bundle = load_bundle(settings)
    trained_on = plain(bundle.manifest.data.name)
    console.print(f"[green]✓[/] models: bundle {bundle.id}, trained on {trained_on}")
    return bundle.manifest


def _watch(run: DemoRun, console: Console) -> None:
    """Show the run until all is scored: live on a terminal, a line every other second elsewhere."""
    if console.is_terminal:
        with Live(_view(run), console=console, refresh_per_second=4, transient=True) as live:
            while not run.advance():
                live.update(_view(run))
        return
    printed = 0.0
    while not run.advance():
        if time.monotonic() - printed > 2:
            printed = time.monotonic()
            console.print(
                f"{printed - run.started_at:5.1f} s  records {run.clicks:,}  open {run.open_sessions:,}"
                f"  scores {run.summary.sessions:,}  lag {run.clicks - run.committed:,}"
            )


def _view(run: DemoRun) -> Panel:
    seconds = time.monotonic() - run.started_at
    grid = Table.grid(padding=(0, 3))
    for _ in range(6):
        grid.add_column(justify="right")
    grid.add_row(
        *(Text(word, style="dim") for word in ("records", "scored", "open", "lag", "records/s", "s"))
    )
    grid.add_row(
        f"{run.clicks:,}",
        f"{run.summary.sessions:,}",
        f"{run.open_sessions:,}",
        f"{run.clicks - run.committed:,}",
        f"{run.committed / seconds:,.0f}",
        f"{seconds:.0f}",
    )
    parts: list[Table | Text] = [grid]
    if last := run.summary.last:
        batch = (last["predictions"] or {}).get("batch")
        if batch:
            revenue = batch["revenue"]
            spent = "" if revenue is None else f" revenue {currency_of(run.shop)}{revenue:.2f},"
            parts.append(
                Text(
                    f"\nlast: session {last['session_id']}, {last['clicks']} clicks, closed by"
                    f" {last['closed_by']}: conversion {batch['conversion']:.2f},{spent}"
                    f" {batch['cluster_name']}",
                    style="dim",
                )
            )
    return Panel(Group(*parts), title="clickstream: live", border_style="cyan", expand=False)


def _conclude(console: Console, run: DemoRun, report: AuditReport, manifest: Manifest) -> None:
    summary = run.summary
    seconds = time.monotonic() - run.started_at
    console.print()
    console.print(predictions_table(summary, run.shop, currency_of(run.shop)))
    console.print(clusters_table(summary))
    console.print(f"[dim]{conversion_in_words(summary, run.shop)}[/]")
    console.print(
        f"\nlatency, scored to readable by a subscriber: p50 {summary.delay_ms(0.5)} ms,"
        f" p99 {summary.delay_ms(0.99)} ms · {seconds:.1f} s in all · bundle {manifest.id}"
    )
    console.print(
        f"\n[bold]{counted(report.clicks, 'click')}, {counted(report.scored, 'session')} scored,"
        f" {report.missing} missing,"
        f" {report.duplicate} duplicate, {report.wrong} wrong[/]"
    )
    if report.clean:
        console.print("[bold green]exactly once[/]: each score was recomputed from the log and compared")
    else:
        console.print(f"[bold red]{report.verdict}[/]: `clickstream scores audit` tells more (with --keep)")


def _stay(console: Console, settings: Settings, run: DemoRun) -> None:
    console.print(
        f"\nStill running. Subscribe from another terminal:\n"
        f"  clickstream scores tail --from-beginning\n"
        f"  clickstream replay --append --speed 600\n"
        f"or from any Kafka client at {settings.kafka_bootstrap}, topic {settings.scores_topic}"
        f" (isolation level read_committed).\nCtrl-C stops everything."
    )
    while True:
        for consumer in run.consumers:
            consumer.keep_alive()
        time.sleep(0.5)
