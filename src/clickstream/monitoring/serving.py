"""What a process reports of itself over HTTP, to Prometheus and to whoever watches over it.

/metrics   for Prometheus
/healthz   200 while the loop makes progress, else 503: restart it
/readyz    200 while results can be expected, else 503 with the reasons: wait, or act
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
from prometheus_client import make_wsgi_app

from clickstream.infra.errors import ConfigurationError
from clickstream.monitoring.exposition import registry
from clickstream.monitoring.health import Health, HealthReport
from clickstream.monitoring.metrics import SampleSource

_Answer = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@contextmanager
def served(
    host: str, port: int | None, *sources: SampleSource, health: Health | None = None
) -> Iterator[int | None]:
    """Serve the samples of the sources and `health` within the block; yield the port.

    A port of None or 0 serves nothing, and None is yielded.

    Raises:
        ConfigurationError: the port or the address cannot be used.
    """
    if not port:
        yield None
        return
    try:
        server = make_server(
            host, port, _routes(health, sources), _Server6 if ":" in host else _Server, _Silent
        )
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"metrics cannot be served on {host} port {port}: {error}",
            "Each process needs a port of its own: set another with --metrics-port or"
            " CLICKSTREAM_METRICS_PORT, or 0 for none.",
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="serving", daemon=True)
    thread.start()
    try:
        if health is not None:
            health.watch()
        yield port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        if health is not None:
            health.close()


def _routes(health: Health | None, sources: tuple[SampleSource, ...]) -> _Answer:
    metrics: _Answer = make_wsgi_app(registry(sources if health is None else (*sources, health.samples)))

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in ("/", "/metrics"):
            return metrics(environ, start_response)
        if health is not None and path == "/healthz":
            return _json(start_response, health.alive(), "alive")
        if health is not None and path == "/readyz":
            return _json(start_response, health.ready(), "ready")
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"There are /metrics, /healthz and /readyz.\n"]

    return answer


def _json(start_response: Callable[..., Any], report: HealthReport, name: str) -> Iterable[bytes]:
    status = "200 OK" if report.good else "503 Service Unavailable"
    start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [orjson.dumps({name: report.good, **report.content}) + b"\n"]


class _Server(ThreadingMixIn, WSGIServer):
    # A scrape that hangs must not keep the next one, nor the end of the process.
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no news."""
