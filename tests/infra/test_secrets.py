"""Secrets of files: read when asked for, and told apart from what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.secrets import secret
from clickstream.infra.settings import Settings, as_environment, load_settings


def test_a_file_counts_as_it_is_when_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = Settings(redis_password_file=file)
    file.write_text("first\n")
    assert secret(settings, "redis_password") == "first"
    file.write_text("second")
    assert secret(settings, "redis_password") == "second"
    assert secret(Settings(redis_password="third"), "redis_password") == "third"
    assert secret(Settings(), "redis_password") is None


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
        secret(Settings(redis_password_file=file), "redis_password")
    assert "CLICKSTREAM_REDIS_PASSWORD_FILE" in caught.value.what
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
        ({"kafka_username": "a", "kafka_password": "sesame"}, "kafka_username, kafka_password are set"),
        ({"kafka_ca_file": "a"}, "kafka_ca_file is set, .* PLAINTEXT makes no use of that: set it to SSL"),
        ({"kafka_key_password": "sesame"}, "kafka_key_password is set"),
        (
            {"kafka_security_protocol": "SSL", "kafka_sasl_mechanism": "PLAIN", "kafka_token_scope": "a"},
            "kafka_sasl_mechanism, kafka_token_scope are set, .* SSL makes no use .* SASL_SSL",
        ),
        ({"kafka_certificate_file": "a"}, "kafka_certificate_file and kafka_key_file belong together"),
    ],
)
def test_settings_that_lack_something_are_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_settings(**given)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [{"lookup_token": "sesame"}, {"redis_url": "redis://u:sesame@h/0", "gap": "x"}, {"bundle_key": "sesame"}],
)
def test_what_is_wrong_of_settings_is_said_without_what_was_given(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(reversed(given))) as caught:
        Settings(**given)
    assert "sesame" not in str(caught.value)


def test_no_secret_is_shown_where_settings_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="max_ahead") as caught:
        Settings(redis_url="redis://:sesame@h/0", lookup_token="sesame" * 9, gap=1_000)
    assert "sesame" not in str(caught.value)


def test_settings_handed_to_another_process_are_as_good_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in as_environment(Settings()).items():
        monkeypatch.setenv(name, value)
    assert load_settings().kafka_security_protocol == "PLAINTEXT"
