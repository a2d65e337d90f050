"""A client of the library's is opened by the first address that answers; where none does, nothing stays."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from typing import Any

from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient

_LEAST_MS = 2_000


def opened(kind: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """A `kind` of client, of these options, that knows the brokers.

    The client takes one of several addresses and stays with it until its time is up: a broker that is frozen
    or cut off takes connections and says nothing. So it is given one at a time. It asks them for no more than
    who the brokers are.

    Raises:
        KafkaError: as `kind` raises it; of the last address, where none answers.
    """
    addresses = list(options["bootstrap_servers"])
    random.shuffle(addresses)
    in_all: int = options["bootstrap_timeout_ms"]
    each_ms = max(in_all // len(addresses), min(in_all, _LEAST_MS))
    while True:
        one = {"bootstrap_servers": [addresses.pop()], "bootstrap_timeout_ms": each_ms}
        try:
            return _opened(kind, {**options, **one})
        except kafka_errors.KafkaTimeoutError:
            if not addresses:
                raise


def _opened(kind: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """The client, whose thread and sockets would stay if it failed."""
    with ExitStack() as undo:

        def connections(**config: Any) -> Any:
            return undo.enter_context(closing(KafkaNetClient(**config)))

        client = kind(kafka_client=connections, **options)
        undo.pop_all()
    return client
