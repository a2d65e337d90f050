"""Tokens: one for many connections, another when it is old, and a word about who gave none."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from certificates import Authority
from token_endpoint import TokenEndpoint

from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.settings import load_settings
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


def test_a_secret_follows_no_redirection(endpoint: TokenEndpoint) -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(302)
            self.send_header("Location", endpoint.keys_url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = TokenSource(f"http://127.0.0.1:{server.server_port}/", None, 5.0)
        with pytest.raises(ConfigurationError, match="302, a redirection"):
            source.token("clicks", "sesame")
        server.shutdown()


def test_an_endpoint_with_tls_is_checked_by_the_authorities_of_ssl_cert_file(
    endpoint: TokenEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    identity = authority.issue("tokens")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    endpoint._server.socket = context.wrap_socket(endpoint._server.socket, server_side=True)
    url = endpoint.url.replace("http:", "https:")
    with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        TokenSource(url, None, 5.0).token("clicks", "sesame")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert TokenSource(url, None, 5.0).token("clicks", "sesame").text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://tokens.example/token", "the scheme 'http' and the host 'tokens.example'"),
        ("http://127.0.0.1.example/token", "the scheme 'http'"),
        ("file:///etc/hostname", "the scheme 'file'"),
        ("https://user:hidden@tokens.example/token", "has a user"),
        ("https://[user:hidden", "is no URL"),
    ],
)
def test_a_secret_is_sent_by_https_or_within_this_machine(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_settings(
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism="OAUTHBEARER",
            kafka_username="clicks",
            kafka_password="sesame",
            kafka_token_url=url,
        )
    assert "hidden" not in str(caught.value)
