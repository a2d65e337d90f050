"""A store that answers every write with one status, as one that lacks conditional writes does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clickstream.bundles import store
from clickstream.bundles.store import BundleStore
from clickstream.infra.errors import BundleError, ConfigurationError
from clickstream.infra.objects import ObjectFolder
from clickstream.local.child import HOST


@contextmanager
def poor_store(status: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BundleStore]:
    class Handler(BaseHTTPRequestHandler):
        # It answers `Expect: 100-continue`, for which a client waits a second otherwise.
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(404)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(status)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{HOST}:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "some")
        yield BundleStore(ObjectFolder("s3://bundles/x", 2.0), folder, None)
        server.shutdown()


@pytest.mark.parametrize("status", [409, 412])
def test_a_record_that_always_changed_meanwhile_is_given_up(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_LONGEST_PAUSE_S", 0.01)
    said = pytest.raises(BundleError, match=r"promotions\.jsonl lacks it: 20 times")
    with poor_store(status, tmp_path, monkeypatch) as poor, said:
        poor.add_to_record(b"{}")


def test_a_store_without_conditional_writes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = pytest.raises(ConfigurationError, match="501")
    with poor_store(501, tmp_path, monkeypatch) as poor, said as refused:
        poor.put_in_use(b"x")
    assert "conditional writes" in refused.value.remedy
