"""What a malformed address of Redis says, and does not say."""

from __future__ import annotations

import pytest

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.redis import address, connect
from clickstream.infra.settings import load_settings


@pytest.mark.parametrize("url", ["redis://:sec/ret@host", "redis://host:port/0", "host:6379"])
def test_a_malformed_url_is_told_without_a_piece_of_the_password(url: str) -> None:
    settings = load_settings(redis_url=url)
    with pytest.raises(ConfigurationError, match="malformed") as caught:
        connect(settings)
    assert "sec" not in str(caught.value) + address(settings)
