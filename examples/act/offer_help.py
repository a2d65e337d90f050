"""Offer help to visitors who will probably leave: once a visit, from the open scores.

The consumers run with CLICKSTREAM_OPEN_CONDITIONS='leaving: conversion < 0.2 and clicks >= 3'.
"""

import json
import os

from confluent_kafka import Consumer

consumer = Consumer(
    {
        "bootstrap.servers": os.environ.get("CLICKSTREAM_KAFKA_BOOTSTRAP", "127.0.0.1:19092"),
        "group.id": "offer-help",
        "isolation.level": "read_committed",
        "auto.offset.reset": "latest",  # whoever was here before us has gone
        "enable.auto.commit": False,
    }
)


def offer_help(session_id: str, chance: float) -> None:
    """What your shop does; after a crash here it may be asked again, so let it answer the same."""
    print(f"help for {session_id}, chance {chance:.2f}", flush=True)


consumer.subscribe([os.environ.get("CLICKSTREAM_OPEN_SCORES_TOPIC", "scores.open")])
while True:
    message = consumer.poll(1.0)
    if message is None:
        continue
    if message.error():
        raise SystemExit(str(message.error()))
    score = json.loads(message.value())
    if "leaving" in score["conditions"]:
        offer_help(score["session_id"], score["predictions"]["batch"]["conversion"])
        consumer.commit(message, asynchronous=False)
