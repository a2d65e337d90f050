"""`clickstream consume`: one consumer of the group."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Collection
from typing import Annotated

import typer

from clickstream.bundles.bundle import load_bundle
from clickstream.cli.options import Shop
from clickstream.consumer.assembly import open_engine
from clickstream.consumer.clients import clients_of
from clickstream.consumer.engine import Engine
from clickstream.consumer.publisher import transactional_id
from clickstream.consumer.restart import restart_from
from clickstream.consumer.topics import prepare_topics
from clickstream.infra import logs
from clickstream.infra.errors import ClickstreamError, UsageError
from clickstream.infra.settings import Settings, load_settings
from clickstream.local.servers import with_running_servers
from clickstream.monitoring.serving import served
from clickstream.terminal.starting import leave_when_asked
from clickstream.terminal.stopping import asked_to_stop

log = logs.logger("consume")

_STOP_WITHIN_S = 30.0
"""A step and its transaction take their time; longer than this they hang."""


def consume(
    instance: Annotated[
        str | None, typer.Option(help="Stable name of this consumer; a restart takes over at once.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Bundle id, path, or champion.")] = None,
    shadow: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="A candidate, by id or path, that rides along: it scores the same sessions, and only metrics"
            " and `models watch --metrics` say how well.",
        ),
    ] = None,
    shop: Shop = None,
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
    partition: Annotated[
        list[int] | None,
        typer.Option(help="Start over with this partition only; may be given again. Others go on."),
    ] = None,
) -> None:
    """Score sessions until stopped by SIGTERM or Ctrl-C.

    Run as many as you like: they share the partitions. Killed at any moment, nothing is lost or repeated.

    Exit codes: 0 stopped; 69 a server is away at the start; 70 hung, and was ended half a minute after a
    stop was asked for; 75 another process has this --instance, start again; 78 the state found contradicts
    the settings or the log, the message says what to do.
    """
    leave_when_asked()
    if partition and restart is None:
        raise UsageError("--partition without --restart-from", "Which partitions it serves, the group says.")
    settings = with_running_servers(
        load_settings(
            instance=instance,
            group=group,
            bundle=bundle,
            shop=shop,
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
        _run(settings, restart, partition or (), shadow)


def _run(settings: Settings, restart: str | None, partitions: Collection[int], shadow: str | None) -> None:
    # A start and a step make tens of thousands of objects without cycles, and a step lets go of its own when
    # it ends: searching them for cycles in the middle of it costs a tenth of the time.
    gc.set_threshold(200_000, 20, 20)
    # A client that is not installed is named before a bundle is loaded.
    clients_of(settings)
    models = load_bundle(settings)
    candidate = None if shadow is None else load_bundle(settings, shadow)
    if restart is not None:
        topic = prepare_topics(settings)
        # It forgets state and sets offsets: both, or neither.
        asked = asked_to_stop()
        restart_from(settings, topic, restart, partitions)
        leave_when_asked()
        if asked.is_set():
            return
    # Until its first poll it is no member of the group and owns nothing.
    engine = open_engine(settings, models, shadow=candidate)
    asked_to_stop(also=lambda: _stop(engine))
    # Libraries and models stay for ever.
    gc.freeze()
    sources = [engine.counters.samples, engine.model_metrics.samples]
    if engine.shadow is not None:
        sources.append(engine.shadow.samples)
    with served(settings.metrics_host, settings.metrics_port, *sources, health=engine.health):
        engine.run()


def _stop(engine: Engine) -> None:
    engine.stop()
    late = threading.Timer(_STOP_WITHIN_S, _end)
    late.daemon = True
    late.start()


def _end() -> None:
    # Safe at any moment, as a kill is.
    log.error("did not stop in time, ends as if killed; nothing is lost", after_s=_STOP_WITHIN_S)
    os._exit(ClickstreamError.exit_code)
