"""Follow the scores of one cluster, each once, with confluent-kafka."""

import json
import os

from confluent_kafka import Consumer

BOOTSTRAP = os.environ.get("CLICKSTREAM_KAFKA_BOOTSTRAP", "127.0.0.1:19092")

consumer = Consumer(
    {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": "my-service",
        "isolation.level": "read_committed",  # its default too
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
)
consumer.subscribe(["scores"])
seen = set()  # in a real service: a unique key in your database
while True:
    message = consumer.poll(1.0)
    if message is None:
        continue
    if message.error():
        raise SystemExit(str(message.error()))
    score = json.loads(message.value())
    batch = score["predictions"]["batch"]  # None where it could not be scored
    if batch and batch["cluster_name"] == "long" and score["score_id"] not in seen:
        seen.add(score["score_id"])
        print(score["session_id"], batch["conversion"], batch["revenue"], flush=True)
    consumer.commit(message)
