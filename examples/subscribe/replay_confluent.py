"""Read again the scores published since a time, up to now, with confluent-kafka."""

import json
import os
import time
from collections import Counter

from confluent_kafka import Consumer, KafkaError, TopicPartition

BOOTSTRAP = os.environ.get("CLICKSTREAM_KAFKA_BOOTSTRAP", "127.0.0.1:19092")
SINCE = time.time() - 24 * 3600

consumer = Consumer(
    {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": "unused",  # librdkafka asks for one; nothing is committed
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,  # tells the end; an empty poll does not
    }
)
topic = consumer.list_topics("scores", timeout=10).topics["scores"]
since = [TopicPartition("scores", p, round(SINCE * 1000)) for p in topic.partitions]
consumer.assign(consumer.offsets_for_times(since, timeout=10))

clusters, left = Counter(), len(since)
while left:
    message = consumer.poll(1.0)
    if message is None:
        continue
    if message.error():
        if message.error().code() != KafkaError._PARTITION_EOF:
            raise SystemExit(str(message.error()))
        left -= 1
        continue
    batch = json.loads(message.value())["predictions"]["batch"]
    clusters[batch["cluster_name"] if batch else "not scored"] += 1
consumer.close()
print(dict(clusters))
