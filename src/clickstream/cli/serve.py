"""`clickstream serve`: what is open of a session now, over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clickstream.cli.options import Shop
from clickstream.infra import logs
from clickstream.infra.extras import need
from clickstream.infra.settings import as_environment, load_settings
from clickstream.local.servers import with_running_servers


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 8700,
    workers: Annotated[int, typer.Option(help="Processes that answer.", min=1, max=64)] = 1,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name by which it may be called, beside addresses and localhost; '*' = any. Repeatable."
            " Without: any with a token, none else without one."
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file with a certificate: HTTPS is spoken; with --tls-key.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file with the key of that certificate.")] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group whose state is looked up.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Bundle id, path, or champion.")] = None,
    shop: Shop = None,
) -> None:
    """Look up open sessions over HTTP: clicks so far, features, and what the models say now.

    GET /v1/sessions/ID is one session, GET /v1/sessions?min_conversion=0.5 a page of them, /openapi.json says
    the rest. It reads the state that consumers keep in Redis, writes nothing, and follows promotions. Beyond
    this machine a token is needed: CLICKSTREAM_LOOKUP_TOKEN.
    Needs `pip install 'clickstream-scoring[serve]'`.

    Exit codes: 0 stopped; 65 no models; 69 a server is away at the start; 78 the port is in use, a token or
    the extra is missing, or a setting or a certificate is wrong.
    """
    need("serve", "the look-up", "fastapi", "uvicorn")
    settings = with_running_servers(
        load_settings(
            group=group,
            bundle=bundle,
            shop=shop,
            lookup_certificate_file=tls_cert,
            lookup_key_file=tls_key,
        )
    )
    logs.configure(settings)
    # Workers read their settings as any process does.
    os.environ.update(as_environment(settings))
    # Takes half a second, and is an extra.
    from clickstream.lookup.server import serve_lookups

    def listening(address: str) -> None:
        Console(stderr=True, highlight=False).print(f"Open sessions  {address}/v1/sessions; Ctrl-C ends it.")

    serve_lookups(settings, host, port, workers, allow_host or [], listening)
