"""Read again the scores published since a time, up to now, with kafka-python."""

import json
import os
import time
from collections import Counter

from kafka import KafkaConsumer, TopicPartition

SINCE = time.time() - 24 * 3600

consumer = KafkaConsumer(
    bootstrap_servers=os.environ.get("CLICKSTREAM_KAFKA_BOOTSTRAP", "127.0.0.1:19092"),
    isolation_level="read_committed",
    auto_offset_reset="earliest",
    enable_auto_commit=False,
)
consumer.topics()  # fetches what the next line reads
partitions = [TopicPartition("scores", p) for p in consumer.partitions_for_topic("scores")]
consumer.assign(partitions)
end = consumer.end_offsets(partitions)
since = consumer.offsets_for_times(dict.fromkeys(partitions, round(SINCE * 1000)))
for partition, found in since.items():  # None: nothing since then
    consumer.seek(partition, found.offset if found else end[partition])

clusters = Counter()
while any(consumer.position(p) < end[p] for p in partitions):  # not: until it is silent
    for records in consumer.poll(timeout_ms=500).values():
        for record in records:
            batch = json.loads(record.value)["predictions"]["batch"]
            clusters[batch["cluster_name"] if batch else "not scored"] += 1
consumer.close()
print(dict(clusters))
