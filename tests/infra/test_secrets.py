"""Secrets of files: read when asked for, and told apart from what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.secrets import secret
from clickstream.infra.settings import Settings, load_settings


def test_a_file_counts_as_it_is_when_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = Settings(kafka_password_file=file)
    file.write_text("first\n")
    assert secret(settings, "kafka_password") == "first"
    file.write_text("second")
    assert secret(settings, "kafka_password") == "second"
    assert secret(Settings(kafka_password="third"), "kafka_password") == "third"
    assert secret(Settings(), "kafka_password") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b"", "has 0 bytes; 1 to 4,096 are taken"),
        (b"\n", "has 0 bytes"),
        (b"x" * 5_000, "1 to 4,096 are taken"),
        (b"\xff\xfe", "no text in UTF-8"),
    ],
)
def test_what_is_no_secret_is_said_without_showing_it(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words) as caught:
        secret(Settings(kafka_password_file=file), "kafka_password")
    assert "CLICKSTREAM_KAFKA_PASSWORD_FILE" in caught.value.what
    assert "xxx" not in str(caught.value)


def test_a_token_in_a_file_is_as_long_as_one_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    with pytest.raises(ConfigurationError, match="has 5 bytes; 32 to"):
        secret(Settings(lookup_token_file=tmp_path / "token"), "lookup_token")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"kafka_password": "a", "kafka_password_file": "b"},
            "kafka_password and kafka_password_file are both",
        ),
        ({"kafka_security_protocol": "SASL_SSL"}, "needs kafka_username and kafka_password or"),
        (
            {
                "kafka_security_protocol": "SASL_SSL",
                "kafka_sasl_mechanism": "OAUTHBEARER",
                "kafka_username": "a",
                "kafka_password": "sesame",
            },
            "OAUTHBEARER needs kafka_token_url",
        ),
        ({"kafka_certificate_file": "a"}, "kafka_certificate_file and kafka_key_file belong together"),
    ],
)
def test_settings_that_lack_something_are_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_settings(**given)
    assert "sesame" not in str(caught.value)
