"""The door between a client and a server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from clickstream.drills.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection:
                while data := connection.recv(1_000):
                    connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[:2]


@pytest.fixture
def door(echo: tuple[str, int]) -> Iterator[Proxy]:
    proxy = Proxy()
    proxy.start(echo)
    yield proxy
    proxy.close()


def call(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def test_what_goes_in_comes_out(door: Proxy) -> None:
    with call(door) as one, call(door) as other:
        one.sendall(b"one")
        other.sendall(b"other")
        assert (one.recv(100), other.recv(100)) == (b"one", b"other")


def test_a_shut_door_lets_nothing_through_and_delivers_it_when_it_opens(door: Proxy) -> None:
    with call(door) as client:
        client.sendall(b"before")
        assert client.recv(100) == b"before"
        door.shut()
        client.sendall(b"meanwhile")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(5)
        door.open()
        assert client.recv(100) == b"meanwhile"


def test_the_end_of_one_side_is_the_end_of_the_other(door: Proxy) -> None:
    with call(door) as client:
        client.sendall(b"last")
        assert client.recv(100) == b"last"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""


def test_a_server_that_is_away_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = nobody.getsockname()[:2]
    proxy = Proxy()
    proxy.start(address)
    try:
        with call(proxy) as client:
            client.sendall(b"hello")
            # The end, or a reset: which of the two is the system's affair.
            with suppress(ConnectionResetError):
                assert client.recv(100) == b""
    finally:
        proxy.close()
