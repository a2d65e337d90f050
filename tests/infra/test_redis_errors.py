"""What a malformed address of Redis says, and does not say."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.redis import connect
from clickstream.infra.redis_address import address
from clickstream.infra.settings import load_settings
from clickstream.local.child import free_port
from clickstream.local.embedded import EmbeddedValkey


@pytest.mark.parametrize("url", ["redis://:sec/ret@host", "redis://host:port/0", "host:6379"])
def test_a_malformed_url_is_told_without_a_piece_of_the_password(url: str) -> None:
    settings = load_settings(redis_url=url)
    with pytest.raises(ConfigurationError, match="malformed") as caught:
        connect(settings)
    assert "sec" not in str(caught.value) + address(settings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"redis_url": "redis://one:1,two:2/0"}, "names 2 hosts"),
        ({"redis_url": "redis://one:1,/0", "redis_cluster": True}, "malformed"),
        ({"redis_url": "redis://one:1/3", "redis_cluster": True}, "names a database"),
        ({"redis_url": "unix:///run/redis.sock", "redis_cluster": True}, "a socket of this machine"),
        ({"redis_cluster": True, "redis_sentinel_service": "mine"}, "both set"),
        ({"redis_url": "redis://me:secret@one:1/0", "redis_password_file": "/x"}, "has a password"),
        ({"redis_url": "rediss://one:1/0?ssl_cert_reqs=none"}, "'ssl_cert_reqs'.*REDIS_CA_FILE"),
        ({"redis_url": "rediss://one:1?db=1&ssl_check_hostname=false"}, "'ssl_check_hostname'.*always"),
        ({"redis_url": "redis://one:1?password=secret"}, "'password'; .*CLICKSTREAM_REDIS_PASSWORD"),
        ({"redis_url": "unix:///run/a.sock?retry=1"}, "'retry'; none but db"),
        ({"redis_url": "redis://me@127.0.0.1:1/0", "redis_ca_file": __file__}, "rediss://"),
    ],
)
def test_settings_that_contradict_each_other_are_told(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s){words}") as caught:
        connect(load_settings(**{"redis_url": "redis://one:1"} | changes))
    assert "secret" not in str(caught.value)


def test_a_password_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey") as valkey:
        settings = load_settings(redis_url=valkey.url, redis_password_file=tmp_path / "password")
        with pytest.raises(ConfigurationError, match="CLICKSTREAM_REDIS_PASSWORD_FILE"):
            connect(settings)


@pytest.mark.parametrize("changes", [{"redis_cluster": True}, {"redis_sentinel_service": "mine"}])
def test_a_cluster_that_is_away_is_waited_for(changes: dict[str, object]) -> None:
    settings = load_settings(redis_url=f"redis://127.0.0.1:{free_port()},127.0.0.1:{free_port()}", **changes)
    with pytest.raises(UnavailableError):
        connect(settings)


def test_a_user_who_may_not_ask_for_the_slots_of_a_cluster_lacks_a_right(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey") as valkey:
        with closing(connect(load_settings(redis_url=valkey.url))) as owner:
            owner.execute_command("ACL", "SETUSER", "me", "reset", "on", ">sesame", "+ping", "~*")
        at = valkey.url.partition("//")[2]
        with pytest.raises(ConfigurationError, match=r"does not permit it .*cluster\|slots"):
            connect(load_settings(redis_url=f"redis://me:sesame@{at}", redis_cluster=True))
