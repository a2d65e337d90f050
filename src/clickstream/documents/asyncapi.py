"""The topics as an AsyncAPI 3.0 document: what lies where, under which key, and who writes it.

Schemas are those of `records`, as draft 7 knows them too: a tool for AsyncAPI need not know a newer draft.
"""

from __future__ import annotations

from typing import Any

from clickstream.documents.examples import record_examples
from clickstream.documents.records import as_json, schema
from clickstream.features.shop_file import UCI553_NAME
from clickstream.infra.settings import Settings
from clickstream.records.score import SCHEMA_VERSION
from clickstream.records.shops import load_shop

_BINDING = "0.5.0"

_MESSAGES: dict[str, tuple[str, str]] = {
    "click": ("Click", "One page view of one visitor."),
    "heartbeat": ("Heartbeat", "Carries event time forward on a partition without a click."),
    "forget": ("Forget", "Drops what is open of a session, without a score."),
    "score": ("Score", "A closed session with what each scorer says of it."),
    "open-score": ("OpenScore", "A session that is open, with what the models say of its clicks so far."),
    "dead-letter": ("DeadLetter", "A record of the clicks topic that could not be counted, and why."),
}

# Null where it is not the session id.
_KEYS: dict[str, dict[str, Any] | None] = {
    "click": {"type": "string", "description": "the session id, in UTF-8"},
    "heartbeat": None,
    "forget": {"type": "string", "description": "the session id, in UTF-8"},
    "score": {"type": "string", "description": "the session id, in UTF-8"},
    "open-score": {"type": "string", "description": "the session id, in UTF-8"},
    "dead-letter": {"type": "string", "description": "as it was received, at most 256 bytes of it"},
}


def asyncapi(named: str = UCI553_NAME) -> bytes:
    """The document of a shop, which `named` is the name or the file of, as JSON.

    Raises:
        ConfigurationError: the shop cannot be used.
    """
    # Not from the environment of whoever writes the document.
    defaults = Settings.model_construct()
    messages, schemas = _components(named)
    of = "" if named == UCI553_NAME else f", shop {load_shop(named).definition.name}"
    return as_json(
        {
            "asyncapi": "3.0.0",
            "info": {
                "title": f"clickstream-scoring{of}",
                "version": str(SCHEMA_VERSION),
                "description": "Clicks of a shop in, one score a session out. Scores and dead letters are"
                " written in transactions: read them with isolation.level=read_committed. Names and"
                " partitions of the topics are the defaults of the settings.",
            },
            "defaultContentType": "application/json",
            "servers": {
                "embedded": {
                    "host": "127.0.0.1:19092",
                    "protocol": "kafka",
                    "description": "The Kafka of `clickstream up`.",
                }
            },
            "channels": {
                "clicks": _channel(
                    defaults.clicks_topic,
                    "Clicks, heartbeats, and what is to be forgotten. Event time is in the record; a replay"
                    " sets the timestamp to it.",
                    ["click", "heartbeat", "forget"],
                    defaults.partitions,
                    {
                        "cleanup.policy": ["delete"],
                        "retention.ms": -1,
                        "message.timestamp.after.max.ms": defaults.max_ahead,
                    },
                ),
                "scores": _channel(
                    defaults.scores_topic,
                    "One score for each session that closes. The record's timestamp is the wall clock.",
                    ["score"],
                    defaults.partitions,
                ),
                "openScores": _channel(
                    defaults.open_scores_topic,
                    "Scores of sessions that are open, at a click that has just come, where settings ask"
                    " for them (open_scores, open_conditions). The record's timestamp is the wall clock.",
                    ["open-score"],
                    defaults.partitions,
                ),
                "deadLetters": _channel(
                    defaults.dead_letter_topic,
                    "Records of the clicks topic that could not be counted, once each.",
                    ["dead-letter"],
                    1,
                ),
            },
            "operations": {
                "takeClicks": _operation(
                    "receive", "clicks", ["click", "heartbeat", "forget"], "What a shop sends."
                ),
                "sendHeartbeats": _operation(
                    "send", "clicks", ["heartbeat"], "Where a partition with open sessions falls silent."
                ),
                "sendScores": _operation("send", "scores", ["score"], "What a subscriber reads."),
                "sendOpenScores": _operation(
                    "send", "openScores", ["open-score"], "What can be acted on while the visitor is there."
                ),
                "sendDeadLetters": _operation(
                    "send", "deadLetters", ["dead-letter"], "What somebody should look at."
                ),
            },
            "components": {"messages": messages, "schemas": schemas},
        }
    )


def _channel(
    address: str,
    description: str,
    messages: list[str],
    partitions: int,
    configuration: dict[str, Any] | None = None,
) -> dict[str, Any]:
    kafka: dict[str, Any] = {"topic": address, "partitions": partitions, "bindingVersion": _BINDING}
    if configuration:
        kafka["topicConfiguration"] = configuration
    return {
        "address": address,
        "description": description,
        "messages": {one: {"$ref": f"#/components/messages/{one}"} for one in messages},
        "bindings": {"kafka": kafka},
    }


def _operation(action: str, channel: str, messages: list[str], summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{one}"} for one in messages],
    }


def _components(named: str) -> tuple[dict[str, Any], dict[str, Any]]:
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    examples = record_examples(named)
    definition = load_shop(named).definition
    for record, (title, summary) in _MESSAGES.items():
        payload = schema(record, definition, "#/components/schemas/{model}")
        schemas |= payload.pop("$defs", {})
        schemas[title] = payload
        kafka: dict[str, Any] = {"bindingVersion": _BINDING}
        if key := _KEYS[record]:
            kafka["key"] = key
        messages[record] = {
            "name": title,
            "title": title,
            "summary": summary,
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{title}"},
            "bindings": {"kafka": kafka},
            "examples": [{"name": record, "payload": examples[record]}],
        }
    return messages, schemas
