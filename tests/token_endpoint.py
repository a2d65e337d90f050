"""An authorization server: tokens for clients who know their secret (RFC 6749, section 4.4), and its keys."""

from __future__ import annotations

import base64
import json
import math
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "kafka"
_KEY_ID = "tests"


class TokenEndpoint:
    """`url` gives signed tokens to `clients`, an identity to its secret; `keys_url` is what verifies them.

    Tokens are good for `lifetime_s`. While `busy`, none are given.
    """

    def __init__(self, lifetime_s: int = 300) -> None:
        self.lifetime_s = lifetime_s
        self.busy = False
        self.clients = {"clicks": "sesame"}
        self.given = 0
        self.scopes: set[str] = set()
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        where = f"http://127.0.0.1:{self._server.server_port}"
        self.url, self.keys_url = f"{where}/token", f"{where}/keys"

    def __enter__(self) -> TokenEndpoint:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _keys(self) -> dict[str, Any]:
        public = self._key.public_key().public_numbers()
        numbers = {name: _encoded(_bytes(value)) for name, value in (("n", public.n), ("e", public.e))}
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _KEY_ID} | numbers]}

    def _token(self, client: str) -> str:
        now = time.time()
        # Whole seconds, and no less than was promised.
        begins, ends = int(now), math.ceil(now + self.lifetime_s)
        claims = {"sub": client, "aud": AUDIENCE, "iss": self.url, "iat": begins, "exp": ends}
        head = {"alg": "RS256", "typ": "JWT", "kid": _KEY_ID}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_encoded(signature)}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, endpoint._keys())

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                asked = parse_qs(self.rfile.read(size).decode())
                scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
                # Encoded as in forms before they are put together: RFC 6749, section 2.3.1.
                pair = base64.b64decode(credentials).decode().split(":", 1)
                client, secret = map(unquote_plus, (*pair, "")[:2])
                if endpoint.busy:
                    self._answer(503, {"error": "temporarily_unavailable"})
                elif asked.get("grant_type") != ["client_credentials"]:
                    self._answer(400, {"error": "unsupported_grant_type"})
                elif scheme != "Basic" or not secret or endpoint.clients.get(client) != secret:
                    self._answer(401, {"error": "invalid_client", "error_description": "no such client"})
                else:
                    endpoint.given += 1
                    endpoint.scopes.update(asked.get("scope", ()))
                    token = endpoint._token(client)
                    self._answer(
                        200,
                        {"access_token": token, "token_type": "Bearer", "expires_in": endpoint.lifetime_s},
                    )

            def _answer(self, status: int, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
