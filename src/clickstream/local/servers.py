"""Which servers a command talks to: those of the settings, else those that `up` or `demo` keep running."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from clickstream.infra.files import replace_file
from clickstream.infra.settings import Settings


def with_running_servers(settings: Settings) -> Settings:
    """Settings with the addresses of our own running servers filled in where none were given."""
    try:
        found = json.loads(_file(settings.home).read_text())
        os.kill(found["pid"], 0)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        # Nobody runs there, or the file is of another make.
        return settings
    update: dict[str, object] = {}
    if settings.kafka_bootstrap is None:
        update["kafka_bootstrap"] = found["kafka_bootstrap"]
    if settings.redis_url is None:
        update["redis_url"] = SecretStr(found["redis_url"])
    return settings.model_copy(update=update)


@contextmanager
def announced(home: Path, bootstrap: str, redis_url: str) -> Iterator[None]:
    """Let other commands of this user find these servers for the length of the block."""
    file = _file(home)
    text = json.dumps({"pid": os.getpid(), "kafka_bootstrap": bootstrap, "redis_url": redis_url})
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, text.encode())
    try:
        yield
    finally:
        if file.exists() and file.read_text() == text:
            file.unlink()


def _file(home: Path) -> Path:
    return home / "servers.json"
