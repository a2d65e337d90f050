"""By which names the look-up may be called."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from clickstream.lookup.names import AllowedNames


def status(host: str | None, names: Collection[str]) -> int:
    """Of the answer to a request with this header Host."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [] if host is None else [(b"host", host.encode("latin-1"))]
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": headers}
    asyncio.run(AllowedNames(PlainTextResponse("passed"), names)(scope, receive, send))
    return int(sent[0]["status"])


ANSWERED = """localhost LOCALHOST:8700 127.0.0.1:8700 172.18.0.7:8700 [::1]:8700 [fe80::1] lookup Lookup.:8700
shop.example:443"""
REFUSED = """:8700 evil.example evil.example:8700 lookup.evil.example 127.0.0.1.evil.example
[evil.example]:8700 [ localhost@evil.example 127.1 * \xe9"""


@pytest.mark.parametrize("host", ANSWERED.split())
def test_addresses_localhost_and_allowed_names_are_answered(host: str) -> None:
    assert status(host, ("lookup", "SHOP.example")) == 200


@pytest.mark.parametrize("host", [None, "", *REFUSED.split()])
def test_a_page_that_bound_its_name_to_this_address_is_not(host: str | None) -> None:
    assert status(host, ("lookup",)) == 400
