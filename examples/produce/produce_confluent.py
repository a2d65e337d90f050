"""Send clicks, one JSON object a line on standard input, with confluent-kafka."""

import json
import os
import sys

from confluent_kafka import Producer

BOOTSTRAP = os.environ.get("CLICKSTREAM_KAFKA_BOOTSTRAP", "127.0.0.1:19092")

producer = Producer(
    {
        "bootstrap.servers": BOOTSTRAP,
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # as Java and kafka-python do; the default is another one
    }
)
failed = []


def acknowledged(error, _message):
    if error is not None:
        failed.append(error)


for line in sys.stdin:
    key = json.loads(line)["session_id"].encode()
    producer.produce("clicks", line.strip().encode(), key, callback=acknowledged)
    producer.poll(0)
producer.flush()
if failed:
    raise SystemExit(f"{len(failed)} clicks were not acknowledged: {failed[0]}")
