"""Who may join the group: all its consumers work by the same rules, or sessions would mean two things.

They also ask for the same open scores, or what is due would change with the owner of a partition.

Rules travel in the client id of each member, so the group's coordinator knows them for exactly as long as the
member lives, and there is no other register that could go out of date.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing

from clickstream.consumer.note import read_note
from clickstream.consumer.refusals import SettingsChangedError
from clickstream.consumer.state_format import DamagedError, Meta
from clickstream.consumer.store import Store
from clickstream.infra.errors import RefusedError
from clickstream.infra.kafka import Admin, Member, Topic
from clickstream.infra.settings import Settings
from clickstream.windows.fingerprint import rule_differences

_REMEDY = (
    "All consumers of a group work by the same rules. Start this one with the values of the others, or give"
    " it another group; to change a rule: stop the producers, `clickstream drain`, stop all consumers, start"
    " them with the new values. Open scores (`open_scores`, `open_conditions`) need no drain: stop all"
    " consumers, start them with the new values."
)


def others(settings: Settings, admin: Admin, rules: str) -> list[Member]:
    """Live members of the group with other `rules`, a `member_text`; a former life of this instance does not
    count."""
    state = admin.group_state(settings.group, settings.clicks_topic)
    return [m for m in state.members if m.rules and m.rules != rules and m.name != settings.instance]


def check_members(settings: Settings, rules: str, wait_ms: int = 0) -> None:
    """Refuse to join where members work by other `rules`, a `member_text`; dead ones have `wait_ms` to leave
    the group.

    Raises:
        SettingsChangedError: names one of them, and what differs.
    """
    deadline = time.monotonic() + wait_ms / 1000
    with closing(Admin(settings)) as admin:
        while found := others(settings, admin, rules):
            if time.monotonic() > deadline:
                raise SettingsChangedError(
                    f"group {settings.group} has {len(found)} running consumers with other rules"
                    f" ({found[0].name}): {rule_differences(found[0].rules, rules)} here",
                    _REMEDY,
                )
            time.sleep(0.2)


def open_rules(settings: Settings, topic: Topic, store: Store) -> dict[int, tuple[str, int]]:
    """Partitions with open sessions: the rules (as text) of each, and how many sessions are open."""
    found: dict[int, tuple[str, int]] = {}
    with closing(Admin(settings)) as admin:
        offsets = admin.group_offsets(settings.group, topic.name)
    for partition in range(topic.partitions):
        try:
            meta = store.peek(partition)
        except DamagedError:
            meta = Meta()  # it will be rebuilt, by the rules in the note
        except RefusedError:
            continue  # another version: whoever claims it decides
        note = read_note(offsets.get(partition))
        if meta.applied is not None:
            described = meta.settings, meta.open_sessions
        elif note is not None:
            described = note.settings, note.open
        else:
            continue
        if described[0] and described[1]:
            found[partition] = described
    return found


def check_state(found: Mapping[int, tuple[str, int]], rules: str) -> None:
    """Refuse to start where sessions are open, and all of them under other rules.

    Where some are open under these, a consumer serves those and names the rest.

    Raises:
        SettingsChangedError: names a partition, and what differs.
    """
    if not found or any(described == rules for described, _ in found.values()):
        return
    partition, (described, open_sessions) = min(found.items())
    raise SettingsChangedError(
        f"partition {partition} has {open_sessions} open sessions under other settings:"
        f" {rule_differences(described, rules)}",
        "Start with the former values; or run `clickstream drain`, then start with the new ones. To start"
        " over on purpose: `clickstream consume --restart-from earliest` (scores are repeated).",
    )
