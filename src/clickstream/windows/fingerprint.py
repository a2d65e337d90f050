"""What decides which sessions the same clicks give, rules and fold: as values, as text and as fingerprint."""

from __future__ import annotations

import hashlib

from clickstream.features.session import FOLD_VERSION
from clickstream.features.shop import UCI553
from clickstream.infra.settings import Settings
from clickstream.windows.partition import Rules


def rules_of(settings: Settings) -> Rules:
    """The rules that the settings ask for."""
    return Rules(**settings.rules, shop=UCI553)


def rules_text(settings: Settings) -> str:
    """Name and value of each, as text that a person can compare."""
    rules = settings.rules | {"fold": FOLD_VERSION}
    return ";".join(f"{name}={rules[name]}" for name in sorted(rules))


def fingerprint(settings: Settings) -> str:
    """Twelve hexadecimal digits that differ when any of them differs; every score carries them."""
    return hashlib.sha256(rules_text(settings).encode()).hexdigest()[:12]
