"""Real servers for the tests that ask for them; a test that does not starts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from clickstream.infra.embedded import EmbeddedKafka, EmbeddedValkey
from clickstream.infra.settings import Settings


@dataclass(frozen=True)
class Addresses:
    """Where the servers of this test session are."""

    bootstrap: str
    redis_url: str


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """Those of CLICKSTREAM_KAFKA_BOOTSTRAP and CLICKSTREAM_REDIS_URL; each that is not set is started."""
    given = Settings()
    folder = tmp_path_factory.mktemp("servers")
    bootstrap = given.kafka_bootstrap
    redis_url = given.redis_url.get_secret_value() if given.redis_url else None
    with ExitStack() as started:
        if redis_url is None:
            redis_url = started.enter_context(EmbeddedValkey(folder / "valkey")).url
        if bootstrap is None:
            bootstrap = started.enter_context(EmbeddedKafka(folder / "kafka")).bootstrap
        yield Addresses(bootstrap, redis_url)


@pytest.fixture
def settings(servers: Addresses, tmp_path: Path) -> Settings:
    """Settings of this test alone: its own topics (not created), group and home, on the session's servers."""
    unique = uuid4().hex[:12]
    return Settings(
        home=tmp_path / "home",
        kafka_bootstrap=servers.bootstrap,
        redis_url=SecretStr(servers.redis_url),
        clicks_topic=f"clicks-{unique}",
        scores_topic=f"scores-{unique}",
        dead_letter_topic=f"clicks-{unique}.dead-letter",
        group=f"group-{unique}",
    )
