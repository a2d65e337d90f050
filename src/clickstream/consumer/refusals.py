"""Why a partition is not taken on where scores would be lost or repeated, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

from clickstream.infra.errors import RefusedError
from clickstream.infra.kafka import CommittedOffset, Topic
from clickstream.windows.fingerprint import rule_differences


class SettingsChangedError(RefusedError):
    """Sessions are open under other settings, or other consumers of the group run with others."""


class OpenUnder(NamedTuple):
    """How many sessions are open, under which rules (as text), on how many partitions of the topic."""

    sessions: int
    rules: str
    partitions: int


def start_over_command(partition: int, where: str = "earliest") -> str:
    """The command that forgets one partition's state and offset, and leaves the others as they are."""
    return f"`clickstream consume --restart-from {where} --partition {partition}`"


def check_rules(partition: int, found: OpenUnder, rules: str, topic: Topic) -> None:
    """Refuse where sessions are open under other rules, or from when the topic had fewer partitions.

    Raises:
        SettingsChangedError: says what differs.
    """
    if not found.rules or not found.sessions:
        return
    remedy = (
        "Start with the former values, run `clickstream drain`, then start with the new ones."
        f" To start over on purpose: {start_over_command(partition)} (its scores are repeated)."
    )
    if found.partitions != topic.partitions:
        raise SettingsChangedError(
            f"partition {partition} has {found.sessions} open sessions from when {topic.name} had"
            f" {found.partitions} partitions; it has {topic.partitions} now",
            remedy,
        )
    if found.rules != rules:
        raise SettingsChangedError(
            f"partition {partition} has {found.sessions} open sessions under other settings:"
            f" {rule_differences(found.rules, rules)}",
            remedy,
        )


def check_log_holds(partition: int, offset: int, offsets: range) -> None:
    """Refuse where the log, which holds `offsets`, does not go on at `offset`."""
    if offset not in offsets:
        raise RefusedError(
            f"partition {partition} needs the log from offset {offset};"
            f" it holds {offsets[0]} to {offsets[-1]}",
            "Retention or a tool deleted what lies between, or the topic was created anew. To go on without"
            f" it: stop the consumers, then start one with {start_over_command(partition)}: what is open"
            " there is forgotten, and what the log still holds of what was scored is scored again.",
        )


def offset_set_back(partition: int, published: int, committed: CommittedOffset | None) -> RefusedError:
    """The error where scores were published beyond the group's committed offset."""
    now = "none" if committed is None else committed.offset
    return RefusedError(
        f"partition {partition}: scores were published up to offset {published},"
        f" and the group's committed offset is {now}: it was set back or has expired",
        f"Set it to {published} again to go on; if the topic was deleted and created anew"
        f" meanwhile, restart this consumer. To start over on purpose: {start_over_command(partition)}"
        " (its scores are repeated).",
    )


def offset_set_by_a_tool(partition: int, committed: int, begin: int, applied: int | None) -> RefusedError:
    """The error where no consumer of this group committed the group's offset.

    The records from `begin` up to it would be skipped. `applied` is how far the group has processed the
    partition, None where that is not known.
    """
    known = "nothing was applied yet" if applied is None else f"this group has processed it up to {applied}"
    go_back = "" if applied is None else f"To lose nothing, set it to {applied} again. "
    return RefusedError(
        f"partition {partition}: the group's committed offset {committed} was set by a tool, {known}: the"
        f" {committed - begin} records before it would never be scored",
        f"{go_back}To begin there on purpose, without what is open now: stop the consumers, then"
        f" {start_over_command(partition, 'committed')}; to score everything: `--restart-from earliest`."
        " Without `--partition` it is all partitions.",
    )
