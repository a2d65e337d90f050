"""Streamlit in this process, set so that it keeps to this machine."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.formparsers import MultiPartParser
from streamlit import config, net_util
from streamlit.web import bootstrap
from streamlit.web.server import Server

from clickstream.dashboard.login import check_login
from clickstream.files.source import MAX_BYTES
from clickstream.infra.errors import ConfigurationError
from clickstream.infra.reach import LOOPBACK
from clickstream.infra.settings import Settings
from clickstream.terminal.stopping import asked_to_stop

_SCRIPT = Path(__file__).with_name("main.py")
_EVERY = ("0.0.0.0", "::")

_OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    # Its own greeting asks a server on the internet for our address.
    "logger.hideWelcomeMessage": True,
    "logger.level": "warning",
    "server.showEmailPrompt": False,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.enableXsrfProtection": True,
    "server.enableCORS": True,
    "server.enableStaticServing": False,
    "server.maxUploadSize": MAX_BYTES // 2**20,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    # Streamlit's own export would hand out cells that a spreadsheet runs; ours quotes them.
    "client.disableDataExport": True,
    "theme.light.primaryColor": "#2f6fbf",
    "theme.dark.primaryColor": "#6ea8ea",
    "theme.light.backgroundColor": "#ffffff",
    "theme.dark.backgroundColor": "#11151c",
    "theme.light.secondaryBackgroundColor": "#f3f5f8",
    "theme.dark.secondaryBackgroundColor": "#1b212b",
    "theme.light.textColor": "#1d2530",
    "theme.dark.textColor": "#e8ecf2",
    "theme.headingFontSizes": ["2rem", "1.6rem", "1.25rem", "1.1rem"],
    "theme.metricValueFontSize": "1.6rem",
    "theme.paddingTop": "1.5rem",
    "theme.paddingBottom": "4rem",
    "theme.baseRadius": "0.4rem",
}


def serve_pages(settings: Settings, host: str, port: int, open_browser: bool, allowed: Sequence[str]) -> None:
    """Serve the pages until Ctrl-C or SIGTERM. `allowed`: further names by which this machine may be called.

    Raises:
        ConfigurationError: the address or port cannot be used, or anybody there could promote, or name
            himself.
    """
    check_login(settings, host)
    _check_free(host, port)
    # An upload stays in memory, where the parser would spool it to a temporary file from 1 MB on.
    MultiPartParser.spool_max_size = MAX_BYTES + 2**20
    options = {
        **_OPTIONS,
        "server.address": host,
        "server.port": port,
        "server.headless": not open_browser,
        # A page of somebody else whose name leads here is not let in.
        "server.allowedHosts": [*LOOPBACK, host, *allowed],
    }
    ask_nobody_for_our_address()
    config._main_script_path = str(_SCRIPT)
    bootstrap.load_config_options(options)
    end_when_asked_while_it_starts()
    address = "127.0.0.1" if host in _EVERY else host
    print(f"Dashboard  http://{f'[{address}]' if ':' in address else address}:{port}", file=sys.stderr)
    if host not in LOOPBACK:
        names = ", ".join(dict.fromkeys((address, "localhost", *allowed)))
        print(f"Browsers may call it {names}; --allow-host lets in more names.", file=sys.stderr)
    print("Ctrl-C stops it.", file=sys.stderr, flush=True)
    # Ctrl-C while pages are being sent.
    with contextlib.suppress(KeyboardInterrupt):
        bootstrap.run(str(_SCRIPT), False, [], options)


def end_when_asked_while_it_starts() -> None:
    """Note a wish to end until Streamlit listens for it, and end then.

    An exception in the middle of its start would leave a thread behind for which Python waits for ever.
    """
    asked, set_up = asked_to_stop(), bootstrap._set_up_signal_handler

    def set_up_and_look(server: Server) -> None:
        set_up(server)
        if asked.is_set():
            server.stop()

    bootstrap._set_up_signal_handler = set_up_and_look


def ask_nobody_for_our_address() -> None:
    """Refuse at once a page of somebody else that comes here.

    Before it refuses, Streamlit would ask a server on the internet whether that page's name is our own
    address, and answer nobody meanwhile. It does so only while it holds no answer.
    """
    net_util._external_ip = "127.0.0.1"


def _check_free(host: str, port: int) -> None:
    """Refuse a port in use at once, and in our words."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            # Linux lets two sockets bind with SO_REUSEADDR, and one listen.
            probe.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"port {port} on {host} is in use",
                "Another dashboard may be running there: open it, or give another --port.",
            ) from error
        raise ConfigurationError(
            f"nothing can listen on {host} port {port}: {error.strerror or error}",
            "Give an address of this machine with --host, and a --port above 1023.",
        ) from error
