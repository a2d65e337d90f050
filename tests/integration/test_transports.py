"""The engine on either client of Kafka: the same scores, each once, also where it changes in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from typing import Literal

import pytest
from shop import Shop, plan_of, stop

from clickstream.infra.confluent.group import ConfluentGroupConsumer
from clickstream.infra.kafka import Admin, CommittedOffset
from clickstream.infra.settings import Settings
from clickstream.local.processes import environment
from clickstream.producer.faults import FaultOptions

pytestmark = pytest.mark.integration

ClientName = Literal["kafka-python", "confluent-kafka"]
CLIENTS: tuple[ClientName, ...] = ("kafka-python", "confluent-kafka")


def on(client: ClientName, settings: Settings) -> Settings:
    return settings.model_copy(update={"kafka_client": client})


def test_both_clients_give_the_same_scores(shop: Shop) -> None:
    faults = FaultOptions(late=0.05, duplicate=0.05, malformed=0.02)
    shop.publish(plan_of(shop.settings, 300, faults=faults))
    digests = set()
    for client in CLIENTS:
        changes = {
            "scores_topic": f"{shop.settings.scores_topic}-{client}",
            "dead_letter_topic": f"{shop.settings.dead_letter_topic}-{client}",
            "group": f"{shop.settings.group}-{client}",
            "kafka_client": client,
        }
        one = Shop(shop.settings.model_copy(update=changes), shop.folder / client)
        shop.processes.append(consumer := one.consumer())
        one.drain(consumer)
        stop(consumer)
        assert not one.audit().flawed
        digests.add(one.digest())
    assert len(digests) == 1


@pytest.mark.chaos
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("place", ["after_commit", "after_produce", "after_publish"])
def test_whoever_takes_over_from_a_consumer_that_died_may_have_the_other_client(
    shop: Shop, place: str, client: ClientName
) -> None:
    other: ClientName = "kafka-python" if client == "confluent-kafka" else "confluent-kafka"
    shop.publish(plan_of(shop.settings, 300))
    dying = shop.consumer("one", place, on(client, shop.settings))
    assert dying.wait(60) == -signal.SIGKILL, dying.last_words()
    heir = shop.consumer("one", settings=on(other, shop.settings))
    shop.drain(heir)
    stop(heir)
    report = shop.audit()
    assert report.clean
    assert report.scored == 300


def test_what_kafka_python_committed_beside_an_offset_is_read_by_confluent_kafka(shop: Shop) -> None:
    """Whatever its length, and so what lies behind it in memory."""
    with closing(Admin(shop.settings)) as admin:
        for length in (*range(8, 24), 34, 98, 194, 284):
            named = shop.settings.model_copy(update={"group": f"{shop.settings.group}-{length}"})
            note = CommittedOffset(length, json.dumps({"note": "n" * length}))
            admin.set_group_offsets(named.group, named.clicks_topic, {0: note})
            consumer = ConfluentGroupConsumer(on("confluent-kafka", named), named.clicks_topic)
            assert consumer.committed(0, 5_000) == note
            consumer.close(leave=True)


def test_without_the_library_a_consumer_says_how_to_get_it(shop: Shop) -> None:
    without = "import sys; sys.modules['confluent_kafka'] = None"
    consume = f"{without}; from clickstream.cli.main import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", consume, "consume"],
        env=environment(on("confluent-kafka", shop.settings)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 78
    assert "confluent_kafka" in ended.stderr
    assert "pip install 'clickstream-scoring[fast]'" in ended.stderr
