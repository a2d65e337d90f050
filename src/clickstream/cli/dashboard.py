"""`clickstream dashboard`: the pages in a browser."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from clickstream.cli.chosen_shop import chosen_definition
from clickstream.cli.options import HomeOption, Shop
from clickstream.infra.extras import need
from clickstream.infra.settings import load_settings

_NEEDED = ("streamlit", "altair", "pandas", "pyarrow")


def dashboard(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 = all of the machine's, as in a container.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 8501,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A further name or address by which browsers may call this machine; '*' = any. Repeatable."
        ),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the browser, too.")] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Pages show all, and promote and roll back nothing.")
    ] = False,
    bundle: Annotated[str | None, typer.Option(help="Bundle id, path, or champion.")] = None,
    shop: Shop = None,
    home: HomeOption = None,
) -> None:
    """Score files, watch the stream, look at models and data of a shop, in a browser.

    Whoever reaches the port sees all of it, and may promote models. Beyond this machine it starts
    --read-only, or behind a proxy where people log in: CLICKSTREAM_DASHBOARD_USER_HEADER is its header.
    Files are kept in memory, and sent nowhere.
    Needs `pip install 'clickstream-scoring[dashboard]'`. Ctrl-C ends it.

    Exit codes: 0 stopped; 78 the port is in use, the extra is missing, a setting is wrong, or beyond this
    machine anybody could promote.
    """
    need("dashboard", "the dashboard", *_NEEDED)
    # The pages read their settings as any process does.
    for name, given in (("HOME", home), ("BUNDLE", bundle), ("SHOP", shop)):
        if given is not None:
            os.environ[f"CLICKSTREAM_{name}"] = str(given)
    if read_only:
        os.environ["CLICKSTREAM_DASHBOARD_READ_ONLY"] = "true"
    settings = load_settings()
    chosen_definition(settings)
    # Takes a second, and is an extra.
    from clickstream.dashboard.server import serve_pages

    serve_pages(settings, host, port, open_browser, allow_host or [])
