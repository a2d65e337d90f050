"""Calls of librdkafka that are given a time and may not keep to it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException

_LATE_S = 1.0


def bounded(call: Callable[[float], object], seconds: float) -> None:
    """Have `call` end within `seconds`, which it is given; after a second more it is left to itself.

    librdkafka waits for ever to send the offsets of a transaction where the group's coordinator goes away
    meanwhile (its issues 5456 and 5511). What is left behind is a thread, and the client, until that answers.

    Raises:
        KafkaException: as `call` raises it, or that it did not end.
    """
    failure: list[Exception] = []

    def run() -> None:
        try:
            call(seconds)
        except Exception as error:  # noqa: BLE001
            failure.append(error)

    # Not one of a pool: the end of the program would wait for it.
    thread = threading.Thread(target=run, name="kafka-transaction", daemon=True)
    thread.start()
    thread.join(seconds + _LATE_S)
    if thread.is_alive():
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"no answer in {seconds:g} s"))
    if failure:
        raise failure[0]
