"""The look-up over HTTP: whatever is asked is answered or refused with a status and a reason, whatever
Redis holds.

Parts: method and path; headers, a line `name: value` each; where it is there, what is stored of session
`visit`.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from typing import Any
from urllib.parse import unquote

import orjson

from clickstream.consumer.state_format import STATE_VERSION, meta_fields, state_keys
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.kafka import partition_for
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.lookup.app import application
from clickstream.lookup.counts import RequestCounters
from clickstream.lookup.service import Lookup
from clickstream.windows.fingerprint import rules_of, rules_text
from clickstream.windows.partition import Partition
from fuzz.contract import SEPARATOR, parts

_STATUSES = (200, 307, 400, 401, 404, 405, 422, 503)

_TARGET = re.compile(rb"[\x21-\x7e]+")

_call: Any = None
_client: Any = None
_key = ""


def open_with(settings: Settings) -> None:
    """Have the application over these servers, whose clicks topic is made where it is missing."""
    global _call, _client, _key
    topic = prepare_topics(settings)
    partition = partition_for(b"visit", topic.partitions)
    _client = connect(settings)
    meta, _key, *_ = state_keys(settings, topic.id, partition)
    fields = meta_fields(Partition(rules_of(settings)), rules_text(settings), topic.partitions)
    _client.hset(meta, mapping={**fields, "applied": 1})
    _call = application(settings, Lookup(settings), RequestCounters())


def check(data: bytes) -> None:
    """Ask one thing."""
    request, headers, state = parts(data, 3)
    if data.count(SEPARATOR) > 1:
        _client.hset(_key, "visit", _checked(state))
    else:
        _client.delete(_key)
    method, _, target = request.partition(b" ")
    if not _TARGET.fullmatch(target):
        # The server's parser, h11, refuses it.
        return
    path, _, query = target.partition(b"?")
    pairs = [line.partition(b":")[::2] for line in headers.split(b"\n") if line]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method.decode("latin-1"),
        # As uvicorn has it.
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "scheme": "http",
        "headers": [(name.strip().lower(), value.strip()) for name, value in pairs],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8700),
    }
    status, body, kind = asyncio.run(_asked(scope))
    if status not in _STATUSES:
        raise AssertionError(f"{status}: {body[:300]!r}")
    if kind == b"application/json" and body:
        orjson.loads(body)


async def _asked(scope: dict[str, Any]) -> tuple[int, bytes, bytes | None]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await _call(scope, receive, send)
    body = b"".join(one.get("body", b"") for one in sent[1:])
    return sent[0]["status"], body, dict(sent[0]["headers"]).get(b"content-type")


def _checked(state: bytes) -> bytes:
    return bytes((0x80 | STATE_VERSION,)) + zlib.crc32(state).to_bytes(4) + state
