"""A worker that cannot start says why in one line, and ends with the code of that error: another follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from clickstream.infra.errors import UnavailableError
from clickstream.local.child import HOST, free_port
from clickstream.lookup.app import create


def test_a_worker_that_finds_no_server_ends_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLICKSTREAM_KAFKA_BOOTSTRAP", f"{HOST}:{free_port()}")
    monkeypatch.setenv("CLICKSTREAM_REDIS_URL", f"redis://{HOST}:{free_port()}/0")
    monkeypatch.setenv("CLICKSTREAM_PATIENCE", "1s")
    with pytest.raises(SystemExit) as end:
        create(tmp_path)
    assert end.value.code == UnavailableError.exit_code
    told = capfd.readouterr().err
    assert "worker not started" in told
    assert "Traceback" not in told
