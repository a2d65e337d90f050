"""What doctor finds in the configuration of the clicks topic."""

from __future__ import annotations

import pytest

from clickstream.infra.settings import Settings
from clickstream.operate.doctor import broker
from clickstream.operate.doctor.check import Check


def checks(config: dict[str, str]) -> dict[str, list[Check]]:
    found: dict[str, list[Check]] = {}
    for check in broker._clicks_config(Settings(kafka_bootstrap="b:1"), config, 0):
        found.setdefault(check.status, []).append(check)
    return found


def test_every_codec_of_kafka_can_be_unpacked() -> None:
    (check,) = (one for one in checks({})["ok"] if "compression.type" in one.what)
    assert "gzip, snappy, lz4, zstd can be unpacked" in check.what


@pytest.mark.parametrize(("on_topic", "status"), [("producer", "fail"), ("snappy", "fail"), ("gzip", "ok")])
def test_a_codec_that_cannot_be_unpacked_here_fails_where_a_batch_may_have_it(
    monkeypatch: pytest.MonkeyPatch, on_topic: str, status: str
) -> None:
    known = {"none": True, "gzip": True, "snappy": False, "lz4": True, "zstd": True}
    monkeypatch.setattr(broker, "codecs", lambda: known)
    found = checks({"compression.type": on_topic})
    assert any("compression.type" in one.what for one in found[status])


def test_a_compacted_topic_fails_and_one_that_takes_no_old_timestamps_is_warned_of() -> None:
    found = checks({"cleanup.policy": "compact", "message.timestamp.before.max.ms": "3600000"})
    assert any("is compacted" in one.what for one in found["fail"])
    assert any("message.timestamp.before.max.ms" in one.what for one in found["warn"])
