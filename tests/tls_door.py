"""TLS in front of a server that speaks none: a real handshake, real certificates, made by the test."""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates, in a folder of its own."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        key, self.certificate = folder / f"{name}.key", folder / f"{name}.pem"
        self._own = Certificate(self.certificate, key)
        _openssl(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -addext basicConstraints=critical,CA:TRUE"
            f" -addext keyUsage=keyCertSign -subj /CN={name} -keyout {key} -out {self.certificate}"
        )

    def issue(self, name: str, alternative: str = "IP:127.0.0.1") -> Certificate:
        """A certificate for a host, `alternative` as openssl writes it, or for a client."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        _openssl(
            f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -addext subjectAltName={alternative}"
            f" -addext basicConstraints=CA:FALSE -CA {self._own.certificate} -CAkey {self._own.key}"
            f" -keyout {made.key} -out {made.certificate}"
        )
        return made


def _openssl(words: str) -> None:
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)


@contextmanager
def tls_door(port: int, target: int, own: Certificate, clients: Authority | None = None) -> Iterator[None]:
    """Speaks TLS on `port` and passes on to `target`; asks for certificates that `clients` signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    if clients is not None:
        context.load_verify_locations(clients.certificate)
        context.verify_mode = ssl.CERT_REQUIRED

    class Door(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as outer,
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
