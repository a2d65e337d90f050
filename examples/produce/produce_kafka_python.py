"""Send clicks, one JSON object a line on standard input, with kafka-python."""

import json
import os
import sys

from kafka import KafkaProducer

BOOTSTRAP = os.environ.get("CLICKSTREAM_KAFKA_BOOTSTRAP", "127.0.0.1:19092")

# No `partitioner`: the default is murmur2 of the key, as in Java.
producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", enable_idempotence=True)
sent = []
for line in sys.stdin:
    key = json.loads(line)["session_id"].encode()
    sent.append(producer.send("clicks", line.strip().encode(), key=key))
producer.flush()
for future in sent:
    future.get()  # raises if the record was not acknowledged
producer.close()
