"""Draining a group that nobody serves: each partition by the rules that its sessions are open under."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from clickstream.infra.errors import RefusedError
from clickstream.infra.kafka import Admin
from clickstream.infra.settings import Settings
from clickstream.windows.fingerprint import read_rules_text

if TYPE_CHECKING:
    from clickstream.bundles.bundle import Bundle


def with_rules(settings: Settings, described: str) -> Settings:
    """The same settings with the rules that partition state was written by.

    Raises:
        RefusedError: a rule is no number.
    """
    stored = read_rules_text(described)
    try:
        rules = {name: int(stored[name]) for name in settings.rules if name in stored}
    except ValueError as error:
        raise RefusedError(
            f"sessions are open under the rules {described!r}, which cannot be read ({error})",
            "Drain with the version of this program that wrote them.",
        ) from error
    return settings.model_copy(update=rules)


def rule_sets(
    settings: Settings, partitions: int, found: Mapping[int, str]
) -> list[tuple[Settings, set[int]]]:
    """Partitions that are served together, and by which settings.

    Those with nothing open come last, by the present rules.
    """
    sets = [
        (with_rules(settings, described), {p for p, text in found.items() if text == described})
        for described in sorted(set(found.values()))
    ]
    rest = set(range(partitions)) - found.keys()
    return [*sets, (settings, rest)] if rest else sets


def behind(admin: Admin, settings: Settings, ends: Mapping[int, int]) -> list[int]:
    """The partitions on which the group has not committed all before these offsets."""
    offsets = admin.group_offsets(settings.group, settings.clicks_topic)
    return [p for p, end in ends.items() if p not in offsets or offsets[p].offset < end]


def serve_partitions(
    settings: Settings, bundle: Bundle, partitions: Collection[int], done: Callable[[], bool]
) -> None:
    """Be the group's consumer of `partitions` until `done`, which waits a little where it is not.

    Raises:
        ClickstreamError: what ended the consumer, or what `done` raised.
    """
    # Who only asks what is left needs no models, which take their time to import.
    from clickstream.consumer.assembly import open_engine

    engine = open_engine(settings, bundle, partitions)
    with ThreadPoolExecutor(1, "drain") as thread:
        consumer = thread.submit(engine.run)
        try:
            while not consumer.done() and not done():
                pass
        finally:
            engine.stop()
    consumer.result()
