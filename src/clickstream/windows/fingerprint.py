"""What decides which sessions the same clicks give, rules and fold: as text and as fingerprint."""

from __future__ import annotations

import hashlib

from clickstream.features.session import FOLD_VERSION
from clickstream.infra.settings import Settings


def rules_text(settings: Settings) -> str:
    """Name and value of each, as text that a person can compare."""
    rules = settings.rules | {"fold": FOLD_VERSION}
    return ";".join(f"{name}={rules[name]}" for name in sorted(rules))


def fingerprint(settings: Settings) -> str:
    """Twelve hexadecimal digits that differ when any of them differs; every score carries them."""
    return hashlib.sha256(rules_text(settings).encode()).hexdigest()[:12]
