"""Where a server is, and why it does not answer, found out by trying its address once more."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""What a server listens on where none but this machine may reach it."""

_PATIENCE_S = 1.0


def is_this_machine(host: str) -> bool:
    """Whether what is sent there stays on this machine, by the name alone: nothing is looked up."""
    return host in LOOPBACK or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def hosts_of(bootstrap: str | None) -> Iterator[tuple[str, int]]:
    """Hosts and ports of a list of brokers, as their clients read it; what is none is passed over."""
    for address in (bootstrap or "").split(","):
        # An IPv6 address stands in brackets.
        host, _, port = address.strip().rpartition(":")
        host = host.rpartition("//")[2].strip("[]")
        if host and port.isdigit() and int(port) < 2**16:
            yield host, int(port)


def absence(host: str, port: int, server: str, setting: str) -> tuple[str, str]:
    """What is wrong with `host:port` at this moment, and what to do about it.

    Args:
        server: what should be there, as "Kafka".
        setting: the environment variable that names the address.
    """
    where = f"{host}:{port}"
    try:
        socket.create_connection((host, port), _PATIENCE_S).close()
    except (socket.gaierror, UnicodeError):
        return (
            f"the name {host} is unknown here",
            f"Correct the host in {setting}, or let this machine resolve it (DNS, /etc/hosts).",
        )
    except ConnectionRefusedError:
        return (
            f"nothing listens at {where}",
            f"Start {server}, `clickstream up` runs one here, or correct the port in {setting}.",
        )
    except OSError as error:
        return (
            f"no way to {where} ({error.strerror or error})",
            f"Check the address in {setting}, the network and its firewalls.",
        )
    return (
        f"something listens at {where}, and did not answer as {server} in time",
        f"Check that {setting} names {server} and not another server, that TLS is set as the server has it,"
        " and that it is not overloaded.",
    )
