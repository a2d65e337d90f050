"""`clickstream up`: Kafka and Valkey on this machine, until they are asked to stop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from clickstream.infra.settings import load_settings
from clickstream.local.embedded import embedded_servers
from clickstream.local.servers import announced
from clickstream.terminal.stopping import interruptible


def up(
    kafka_port: Annotated[int, typer.Option(help="Port of Kafka on 127.0.0.1.", min=1, max=65_535)] = 19_092,
    redis_port: Annotated[int, typer.Option(help="Port of Valkey on 127.0.0.1.", min=1, max=65_535)] = 16_379,
    brokers: Annotated[
        int,
        typer.Option(
            help="Kafka brokers; 3 keep each record thrice, the others' ports follow.", min=1, max=5
        ),
    ] = 1,
    home: Annotated[Path | None, typer.Option(help="Folder of the servers' data.")] = None,
) -> None:
    """Start a Kafka and a Valkey on this machine, and stop them at Ctrl-C or SIGTERM.

    Their data stays in the home folder and is there again at the next start. The other commands find these
    servers by that folder, and any program by the two lines that are printed.
    """
    settings = load_settings(home=home)
    started = time.monotonic()
    try:
        with (
            interruptible(),
            embedded_servers(
                settings.home,
                kafka_port=kafka_port,
                redis_port=redis_port,
                brokers=brokers,
                notify=_print,
            ) as servers,
            announced(settings.home, servers.bootstrap, servers.url),
        ):
            _print(f"Started in {time.monotonic() - started:.1f} s.")
            typer.echo(f"Kafka  {servers.bootstrap}")
            typer.echo(f"Redis  {servers.url}")
            typer.echo(f"Data   {settings.home}\n")
            typer.echo(f"export CLICKSTREAM_KAFKA_BOOTSTRAP={servers.bootstrap}")
            typer.echo(f"export CLICKSTREAM_REDIS_URL={servers.url}\n")
            _print("Ctrl-C stops both; their data is kept.")
            while True:
                servers.check()
                time.sleep(0.5)
    except KeyboardInterrupt:
        _print("Stopped.")


def _print(line: str) -> None:
    typer.echo(line, err=True)
