"""TLS in front of a server that speaks none: a real handshake with real certificates."""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from certificates import Authority, Identity


@contextmanager
def tls_door(port: int, target: int, own: Identity, clients: Authority | None = None) -> Iterator[None]:
    """Speaks TLS on `port` and passes on to `target`; asks for certificates that `clients` signed.

    Each connection goes by what the files hold then.
    """

    def context() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(own.certificate, own.key)
        if clients is not None:
            made.load_verify_locations(clients.file)
            made.verify_mode = ssl.CERT_REQUIRED
        return made

    class Door(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                context().wrap_socket(self.request, server_side=True) as outer,
                socket.create_connection(("127.0.0.1", target)) as inner,
            ):
                _pass_on(outer, inner)

    class Doors(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True
        block_on_close = False

    with Doors(("127.0.0.1", port), Door) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _pass_on(outer: ssl.SSLSocket, inner: socket.socket) -> None:
    """Between two sockets, until one of them ends."""
    while True:
        ready = [outer] if outer.pending() else select.select([outer, inner], [], [])[0]
        for source in ready:
            data = source.recv(65_536)
            if not data:
                return
            (inner if source is outer else outer).sendall(data)
