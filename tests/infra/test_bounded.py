"""Calls of librdkafka that may not keep to the time they are given."""

from __future__ import annotations

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from clickstream.infra.confluent.bounded import bounded


def test_a_call_that_does_not_end_is_left_to_itself() -> None:
    released = threading.Event()
    ended = threading.Event()

    def hang(_: float) -> None:
        released.wait()
        ended.set()

    with pytest.raises(KafkaException, match=r"no answer in 0\.05 s") as caught:
        bounded(hang, 0.05)
    assert caught.value.args[0].code() == KafkaError._TIMED_OUT
    released.set()
    assert ended.wait(10)


def test_a_call_that_ends_gives_its_error_or_none() -> None:
    given: list[float] = []
    bounded(given.append, 5.0)
    assert given == [5.0]

    def refuse(_: float) -> None:
        raise KafkaException(KafkaError(KafkaError._FENCED))

    with pytest.raises(KafkaException, match="_FENCED"):
        bounded(refuse, 5.0)
