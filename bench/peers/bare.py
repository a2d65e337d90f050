"""A loop over confluent-kafka in a few lines: sessions in a dictionary, transactions, no model.

    bare.py BOOTSTRAP CLICKS_TOPIC OUTPUT_TOPIC RECORDS GAP_MS LATENESS_MS

The floor of what five aggregates of a session cost in Python: the state is in memory alone and lost with the
process, out-of-order clicks are folded as they come, and a session that goes on after its gap is not told
from one that never ended. Prints one line of JSON: see `Meter`.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer
from meter import Meter

_AT_ONCE = 5_000


def main() -> None:
    bootstrap, clicks, output, records, gap, lateness = sys.argv[1:]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": output,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": output})
    producer.init_transactions()
    consumer.subscribe([clicks])
    meter = Meter(int(records))
    patience = int(gap) + int(lateness)
    # By partition: event time goes on in each by itself.
    sessions: defaultdict[int, OrderedDict[bytes, Totals]] = defaultdict(OrderedDict)
    newest: dict[int, int] = {}
    read = 0
    while read < int(records):
        messages = consumer.consume(_AT_ONCE, timeout=0.1)
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            meter.read()
            read += 1
            partition, key = message.partition(), message.key()
            click = orjson.loads(message.value())
            newest[partition] = max(newest.get(partition, 0), click["event_time"])
            if click["type"] != "click":
                continue
            open_sessions = sessions[partition]
            totals = open_sessions.get(key)
            if totals is None:
                totals = open_sessions[key] = Totals()
            totals.add(click)
            open_sessions.move_to_end(key)
        for partition, open_sessions in sessions.items():
            while open_sessions:
                key, totals = next(iter(open_sessions.items()))
                if totals.last > newest[partition] - patience:
                    break
                del open_sessions[key]
                producer.produce(output, key=key, value=orjson.dumps(totals.values()))
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
        )
        producer.commit_transaction()
    meter.print()
    consumer.close()


class Totals:
    """Of one session: clicks, sum and highest of the prices, last product, and when it was last seen."""

    __slots__ = ("clicks", "highest", "last", "product", "spent")

    def __init__(self) -> None:
        self.clicks, self.spent, self.highest, self.product, self.last = 0, 0.0, 0.0, "", 0

    def add(self, click: dict[str, Any]) -> None:
        price = click["price"]
        self.clicks += 1
        self.spent += price
        self.highest = max(self.highest, price)
        self.product = click["product"]
        self.last = max(self.last, click["event_time"])

    def values(self) -> dict[str, Any]:
        return {
            "clicks": self.clicks,
            "spent": self.spent,
            "mean_price": self.spent / self.clicks,
            "highest_price": self.highest,
            "last_product": self.product,
        }


if __name__ == "__main__":
    main()
