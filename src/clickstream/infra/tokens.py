"""Access tokens by the client credentials grant (RFC 6749, section 4.4), kept for most of their life."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.reach import is_this_machine

_MOST_BYTES = 1 << 20
_USED_FOR = 0.8
"""Of its life a token is used so much; then there is time to get another."""


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is what a server is shown; `expires_at` is wall clock, in seconds."""

    text: str
    expires_at: float


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirections are errors: the client's secret would go to whom the answer names."""

    def redirect_request(self, *_: object) -> None:
        return None


def check_endpoint(url: str) -> None:
    """Check that a secret may be sent there: https, or http to this machine, and no user in the URL.

    Raises:
        ValueError: it may not; what is said holds nothing of a password in the URL.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        user = "@" in parts.netloc
    except ValueError:
        raise ValueError("kafka_token_url is no URL: write it as https://host/path") from None
    if user:
        raise ValueError(
            "kafka_token_url has a user: leave it out, and set kafka_username and kafka_password_file"
        )
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(host))):
        raise ValueError(
            f"kafka_token_url has the scheme {parts.scheme!r} and the host {host!r}: the client's secret is"
            " sent to https://host/path alone, or by http:// to this machine"
        )


class TokenSource:
    """Gets tokens from one endpoint; may be asked by several threads."""

    def __init__(self, url: str, scope: str | None, timeout_s: float) -> None:
        self._url, self._scope, self._timeout_s = url, scope, timeout_s
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._fresh_until = 0.0
        self._client = ("", "")

    def token(self, client: str, client_secret: str) -> Token:
        """One that is good for a while.

        Raises:
            ConfigurationError: the endpoint refuses the client, or answers with something else than a token.
            UnavailableError: it does not answer, or says that it cannot now.
        """
        with self._lock:
            now, asking = time.time(), (client, client_secret)
            if self._token is None or now >= self._fresh_until or self._client != asking:
                self._token, self._client = self._fetch(client, client_secret), asking
                self._fresh_until = now + (self._token.expires_at - now) * _USED_FOR
            return self._token

    def forget(self) -> None:
        """The token was refused: get another the next time."""
        with self._lock:
            self._token = None

    def _fetch(self, client: str, client_secret: str) -> Token:
        asked = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        pair = ":".join(urllib.parse.quote_plus(part) for part in (client, client_secret))
        where = f"the token endpoint {self._url}"
        now = time.time()
        try:
            request = urllib.request.Request(
                self._url,
                urllib.parse.urlencode(asked).encode(),
                {
                    "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
                    "Accept": "application/json",
                },
            )
            opener = urllib.request.build_opener(_NoRedirect)
            with opener.open(request, timeout=self._timeout_s) as answer:
                found = json.loads(answer.read(_MOST_BYTES))
            return Token(str(found["access_token"]), now + float(found.get("expires_in", 300)))
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(1_000).decode(errors="replace").strip()
            if error.code >= 500 or error.code == 429:
                raise UnavailableError(
                    f"{where} answers {error.code}: {said}", "It usually is better soon."
                ) from None
            if 300 <= error.code < 400:
                raise ConfigurationError(
                    f"{where} answers {error.code}, a redirection, and the secret is sent nowhere else",
                    "Set CLICKSTREAM_KAFKA_TOKEN_URL to the address that it redirects to, if that is right.",
                ) from None
            raise ConfigurationError(
                f"{where} refuses the client {client!r} ({error.code}: {said})",
                "Check CLICKSTREAM_KAFKA_USERNAME, its secret, and CLICKSTREAM_KAFKA_TOKEN_URL.",
            ) from None
        except (OSError, TimeoutError) as error:
            raise UnavailableError(
                f"{where} does not answer ({getattr(error, 'reason', error)})",
                "Check CLICKSTREAM_KAFKA_TOKEN_URL and the network.",
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{where} answers with no token ({error!r})", "Correct CLICKSTREAM_KAFKA_TOKEN_URL."
            ) from error
