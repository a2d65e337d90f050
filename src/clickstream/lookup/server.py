"""The look-up's processes: one socket, bound before anything is loaded, and one worker or several."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.reach import LOOPBACK
from clickstream.infra.secrets import secret
from clickstream.infra.settings import Settings
from clickstream.infra.tls import server_context
from clickstream.lookup.app import application, create
from clickstream.lookup.counts import RequestCounters
from clickstream.lookup.service import Lookup
from clickstream.terminal.stopping import asked_to_stop

_DRAIN_S = 5
"""Time that requests under way have to end when the server is stopped."""

_START_S = 60
"""After so long without a sign a worker is replaced; while it loads its libraries it gives none."""


def serve_lookups(
    settings: Settings,
    host: str,
    port: int,
    workers: int,
    allowed: Sequence[str],
    listening_on: Callable[[str], None],
) -> None:
    """Answer until Ctrl-C or SIGTERM. With more than one worker, each reads the settings of the environment.

    Args:
        allowed: names by which it may be called, beside addresses, `localhost` and `host`; empty: as of
            `application`.
        listening_on: is told the address, once nothing stands in the way.

    Raises:
        ConfigurationError: the port or the certificate cannot be used; or others than this machine could ask
            without a token.
        UnavailableError: a server is away at the start.
        BundleError: there are no models.
    """
    if secret(settings, "lookup_token") is None and host not in LOOPBACK:
        raise ConfigurationError(
            f"on {host} anybody who reaches the port could read sessions",
            "Set CLICKSTREAM_LOOKUP_TOKEN, which requests then carry; or keep to 127.0.0.1.",
        )
    tls = tls_of(settings)
    names = (host, *allowed) if allowed else ()
    with bound(host, port) as listening, TemporaryDirectory(prefix="clickstream-serve-") as folder:
        counts = Path(folder)
        # Loaded once before workers are: what is wrong is said once, with the exit code it has.
        lookup = Lookup(settings)
        config = uvicorn.Config(
            application(settings, lookup, RequestCounters(), names)
            if workers == 1
            else partial(create, counts, names),
            factory=workers > 1,
            workers=workers,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_S,
            timeout_worker_healthcheck=_START_S,
            ssl_context_factory=tls,
        )
        scheme = "http" if tls is None else "https"
        address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        if workers == 1:
            server = uvicorn.Server(config)
            # It takes signals over a little later, and raises them again when it has obeyed.
            asked_to_stop(also=lambda: setattr(server, "should_exit", True))
            listening_on(address)
            server.run(sockets=[listening])
            return
        lookup.close()
        supervisor = Multiprocess(config, sockets=[listening])
        listening_on(address)
        supervisor.run()


def tls_of(settings: Settings) -> Callable[..., ssl.SSLContext] | None:
    """What makes the TLS context of each worker; None where plain HTTP is spoken.

    Raises:
        ConfigurationError: certificate or key cannot be used.
    """
    if settings.lookup_certificate_file is None or settings.lookup_key_file is None:
        return None
    files = settings.lookup_certificate_file, settings.lookup_key_file
    # Once here: what is wrong is said once, before anything listens.
    _context(*files)
    return partial(_context, *files)


def _context(certificate_file: Path, key_file: Path, *_: Any) -> ssl.SSLContext:
    return server_context("CLICKSTREAM_LOOKUP", certificate_file, key_file)


def bound(host: str, port: int) -> socket.socket:
    """The socket that all workers listen on.

    Raises:
        ConfigurationError: the port or the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2_048)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"the look-up cannot listen on {host} port {port}: {error}", "Choose another with --port."
        ) from error
    # Connections inherit it. asyncio sets it only where a socket was made with TCP as its protocol; without,
    # the body of an answer waits up to 40 ms for the client to acknowledge the headers.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
