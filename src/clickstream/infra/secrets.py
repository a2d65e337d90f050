"""Secrets from the environment or from files: read when they are needed, so that a changed file counts."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.settings import SHORTEST_KEY, Settings

_MOST_BYTES = 4_096
_KEYS = frozenset({"bundle_key", "lookup_token", "dashboard_proxy_secret"})
"""Those that must be long, as `Settings` checks where they come by the environment."""


def secret_bytes(settings: Settings, name: str) -> bytes | None:
    """The secret setting `name` as it is now, of its file where `<name>_file` is set; None where neither is.

    Raises:
        ConfigurationError: the file cannot be read, is empty, or holds too short a key or too much.
    """
    value: SecretStr | None = getattr(settings, name)
    if value is not None:
        return value.get_secret_value().encode()
    named: Path | None = getattr(settings, f"{name}_file")
    if named is None:
        return None
    variable, file = f"CLICKSTREAM_{name.upper()}_FILE", named.expanduser()
    try:
        with file.open("rb") as opened:
            found = opened.read(_MOST_BYTES + 1).strip()
    except OSError as error:
        raise ConfigurationError(
            f"{variable}: {file} cannot be read: {error.strerror}",
            "Check the path, and that this user may read it.",
        ) from error
    shortest = SHORTEST_KEY if name in _KEYS else 1
    if not shortest <= len(found) <= _MOST_BYTES:
        raise ConfigurationError(
            f"{variable}: the {name.rpartition('_')[2]} in {file} has {len(found)} bytes;"
            f" {shortest} to {_MOST_BYTES:,} are taken",
            "Write a new one, as by `openssl rand -hex 32`"
            + (", and sign the bundles that you trust with it." if name == "bundle_key" else "."),
        )
    return found


def secret(settings: Settings, name: str) -> str | None:
    """As `secret_bytes`, as text.

    Raises:
        ConfigurationError: as there, or the file is not UTF-8.
    """
    found = secret_bytes(settings, name)
    try:
        return None if found is None else found.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"CLICKSTREAM_{name.upper()}_FILE: what it names is no text in UTF-8",
            "Write the secret alone into it, as text.",
        ) from None
