"""Follow the scores of one cluster, each once, with kafka-python."""

import json
import os

from kafka import KafkaConsumer

scores = KafkaConsumer(
    "scores",
    bootstrap_servers=os.environ.get("CLICKSTREAM_KAFKA_BOOTSTRAP", "127.0.0.1:19092"),
    group_id="my-service",
    isolation_level="read_committed",  # the default shows aborted copies
    auto_offset_reset="earliest",  # where the group has no offset yet
    enable_auto_commit=False,
)
seen = set()  # in a real service: a unique key in your database
for record in scores:
    score = json.loads(record.value)
    batch = score["predictions"]["batch"]  # None where it could not be scored
    if batch and batch["cluster_name"] == "long" and score["score_id"] not in seen:
        seen.add(score["score_id"])
        print(score["session_id"], batch["conversion"], batch["revenue"], flush=True)
    scores.commit()  # after the work: a crash repeats a score, and score_id tells
