"""Where a topic ends for those who read committed records, while transactions are under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka.structs import ConsumerGroupMetadata

from clickstream.consumer.topics import prepare_topics
from clickstream.infra.kafka import Membership, OutgoingRecord, Reader, TransactionalProducer
from clickstream.infra.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture
def producer(settings: Settings) -> Iterator[TransactionalProducer]:
    """Writes to the scores topic."""
    prepare_topics(settings)
    made = TransactionalProducer(settings, f"{settings.group}-test")
    yield made
    made.discard()


class Opened:
    """Scores of one transaction, written in the background, and committed when `commit` is set."""

    def __init__(self, producer: TransactionalProducer, settings: Settings, scores: int) -> None:
        self.written, self.commit = threading.Event(), threading.Event()
        nobody = Membership(-1, ConsumerGroupMetadata(settings.group, -1, "", None))
        records = [
            OutgoingRecord(settings.scores_topic, n % settings.partitions, None, b"{}") for n in range(scores)
        ]
        self._thread = threading.Thread(
            target=producer.publish, args=(records, settings.clicks_topic, {}, nobody, self._wait)
        )

    def __enter__(self) -> Opened:
        self._thread.start()
        assert self.written.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.commit.set()
        self._thread.join(30)

    def _wait(self) -> None:
        self.written.set()
        assert self.commit.wait(30)


def test_the_ends_wait_for_a_transaction_that_partitions_do_not_show_yet(
    settings: Settings, producer: TransactionalProducer
) -> None:
    with closing(Reader(settings, settings.scores_topic)) as reader, Opened(producer, settings, 40) as opened:
        assert sum(reader.end_offsets().values()) == 0
        threading.Timer(0.3, opened.commit.set).start()
        ends = reader.decided_ends()
        assert not ends.held
        assert sum(len(batch) for batch in reader.read_to(ends.offsets)) == 40


def test_the_ends_wait_for_an_open_transaction_only_so_long_and_say_so(
    settings: Settings, producer: TransactionalProducer
) -> None:
    with closing(Reader(settings, settings.scores_topic)) as reader, Opened(producer, settings, 40):
        ends = reader.decided_ends(within_s=0.2)
        assert ends.held
        assert sum(ends.offsets.values()) == 0
