"""Tokens: one for many connections, another when it is old, and a word about who gave none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from token_endpoint import TokenEndpoint

from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.tokens import TokenSource
from clickstream.local.child import free_port


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as running:
        yield running


def test_a_token_is_used_for_a_while(endpoint: TokenEndpoint) -> None:
    source = TokenSource(endpoint.url, "kafka", 5.0)
    assert source.token("clicks", "sesame") == source.token("clicks", "sesame")
    assert endpoint.given == 1
    assert endpoint.scopes == {"kafka"}
    source.forget()
    source.token("clicks", "sesame")
    assert endpoint.given == 2


def test_a_token_that_ends_at_once_is_asked_for_each_time(endpoint: TokenEndpoint) -> None:
    endpoint.lifetime_s = 0
    source = TokenSource(endpoint.url, None, 5.0)
    source.token("clicks", "sesame")
    source.token("clicks", "sesame")
    assert endpoint.given == 2


def test_another_secret_gets_another_token(endpoint: TokenEndpoint) -> None:
    source = TokenSource(endpoint.url, None, 5.0)
    source.token("clicks", "sesame")
    endpoint.clients["clicks"] = "open: %sesame"
    # What no longer fits is noticed when another token is needed.
    source.token("clicks", "open: %sesame")
    assert endpoint.given == 2


def test_who_is_refused_is_told_and_who_finds_nobody_may_try_again(endpoint: TokenEndpoint) -> None:
    with pytest.raises(
        ConfigurationError, match=r"refuses the client 'clicks' \(401.*no such client"
    ) as caught:
        TokenSource(endpoint.url, None, 5.0).token("clicks", "wrong")
    assert "wrong" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="no token"):
        TokenSource("nowhere", None, 5.0).token("clicks", "sesame")
    with pytest.raises(UnavailableError, match="does not answer"):
        TokenSource(f"http://127.0.0.1:{free_port()}/", None, 5.0).token("clicks", "sesame")
