"""`clickstream consume`: one consumer of the group."""

from __future__ import annotations

import gc
import signal
import sys
from typing import Annotated

import typer

from clickstream.app.servers import with_running_servers
from clickstream.consumer.engine import Engine, prepare_topics
from clickstream.consumer.publisher import transactional_id
from clickstream.consumer.restart import restart_from
from clickstream.infra import logs
from clickstream.infra.serving import served
from clickstream.infra.settings import Settings, load_settings
from clickstream.models.bundle import load_bundle


def consume(
    instance: Annotated[
        str | None, typer.Option(help="Stable name of this consumer; a restart takes over at once.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Bundle id, path, or champion.")] = None,
    max_poll_records: Annotated[int | None, typer.Option(help="Clicks taken in one step.")] = None,
    gap: Annotated[str | None, typer.Option(help="Inactivity that closes a session, as 30min.")] = None,
    allowed_lateness: Annotated[
        str | None, typer.Option(help="How far behind the newest click one may come, as 60s.")
    ] = None,
    idle_after: Annotated[
        str | None, typer.Option(help="Silence after which a heartbeat is written, as 60s; 0 = never.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Serve /metrics, /healthz and /readyz there; 0 = none.")
    ] = None,
    restart: Annotated[
        str | None,
        typer.Option(
            "--restart-from",
            metavar="earliest|latest|committed",
            help="Start over on purpose: forget all state of the group, then read from there; committed = "
            "where a tool set the group's offsets. "
            "Scores published before are published again.",
        ),
    ] = None,
) -> None:
    """Score sessions until stopped by SIGTERM or Ctrl-C.

    Run as many as you like: they share the partitions. Killed at any moment, nothing is lost or repeated.

    Exit codes: 0 stopped; 69 a server is away at the start; 75 another process has this --instance, start
    again; 78 the state found contradicts the settings or the log, the message says what to do.
    """
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: sys.exit(0))
    settings = with_running_servers(
        load_settings(
            instance=instance,
            group=group,
            bundle=bundle,
            max_poll_records=max_poll_records,
            gap=gap,
            allowed_lateness=allowed_lateness,
            idle_after=idle_after,
            metrics_port=metrics_port,
        )
    )
    logs.configure(settings)
    logs.on_every_line(owner=transactional_id(settings))
    with logs.last_words(settings):
        _run(settings, restart)


def _run(settings: Settings, restart: str | None) -> None:
    models = load_bundle(settings)
    if restart is not None:
        restart_from(settings, prepare_topics(settings), restart)
    engine = Engine(settings, models)
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: engine.stop())
    # Libraries and models stay for ever, and a step makes thousands of objects without cycles: searching all
    # of them for cycles every 700 costs a tenth of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sources = (engine.counters.samples, engine.monitor.samples)
    with served(settings.metrics_host, settings.metrics_port, *sources, health=engine.health):
        engine.run()
