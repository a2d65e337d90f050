"""Rules, shop and fold, which decide what sessions a log gives: as values, text and fingerprint."""

from __future__ import annotations

import hashlib

from clickstream.features.session import FOLD_VERSION
from clickstream.infra.settings import Settings, opens
from clickstream.records.shops import load_shop
from clickstream.windows.rules import Rules


def rules_of(settings: Settings) -> Rules:
    """The rules that the settings ask for, the shop included.

    Raises:
        ConfigurationError: the shop cannot be used.
    """
    return Rules(**settings.rules, shop=load_shop(settings.shop))


def rules_text(settings: Settings) -> str:
    """The rules, the fold and the shop as text, `name=value;…`, that a person can compare.

    Raises:
        ConfigurationError: the shop cannot be used.
    """
    shop = load_shop(settings.shop)
    rules = settings.rules | {"fold": FOLD_VERSION, "shop": shop.label}
    return ";".join(f"{name}={rules[name]}" for name in sorted(rules))


def read_rules_text(text: str) -> dict[str, str]:
    """The names and values in a text of `rules_text`, this version's or another's."""
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split(";"))}


def member_text(settings: Settings) -> str:
    """What all members of a group have in common, as text: the rules, and when open scores are due, if ever.

    The latter shapes no session. So it is no part of the fingerprint, nor of what is stored with open
    sessions, and may be another one once all members have stopped.

    Raises:
        ConfigurationError: the shop cannot be used.
    """
    text = rules_text(settings)
    if settings.open_conditions:
        # A condition may hold any character, and a client id is no place for ten thousand of them.
        digest = hashlib.sha256(settings.open_conditions.encode()).hexdigest()[:12]
        text += f";open_conditions={digest}"
    if opens(settings):
        text += f";open_scores={settings.open_scores}"
    return text


def rules_of_member(text: str) -> str:
    """The `rules_text` in a `member_text`."""
    return ";".join(
        pair for pair in text.split(";") if not pair.startswith(("open_conditions=", "open_scores="))
    )


def rule_differences(before: str, now: str) -> str:
    """What differs between two texts of `rules_text`, for a person to read."""
    old, new = read_rules_text(before), read_rules_text(now)
    return ", ".join(
        f"{name} was {old.get(name, 'off')} and is {new.get(name, 'off')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def fingerprint(settings: Settings) -> str:
    """Twelve hexadecimal digits that change with a rule, the fold or the shop; every score carries them."""
    return hashlib.sha256(rules_text(settings).encode()).hexdigest()[:12]
