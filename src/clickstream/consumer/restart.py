"""Starting over on purpose: forget a group's state, and read from either end of the log, or in it."""

from __future__ import annotations

from collections.abc import Collection

from clickstream.consumer.note import empty_note
from clickstream.consumer.store import Store
from clickstream.infra.errors import RefusedError, UsageError
from clickstream.infra.kafka import Admin, CommittedOffset, Reader, Topic
from clickstream.infra.logs import logger
from clickstream.infra.settings import Settings
from clickstream.windows.fingerprint import rules_text
from clickstream.windows.partition import NOTHING_SEEN

log = logger("restart")


def restart_from(settings: Settings, topic: Topic, where: str, only: Collection[int] = ()) -> None:
    """Delete the group's state in Redis and set its offsets to the `earliest` or `latest` record.

    `committed` leaves them where a tool has put them; a partition without one begins at its first record.
    `only` these partitions, where any are given; the others go on as they are.

    Raises:
        UsageError: `where` is none of these, or the topic has no such partition.
        RefusedError: the group has members; they would go on with what they hold.
    """
    if where not in ("earliest", "latest", "committed"):
        raise UsageError(f"--restart-from {where!r}", "Say earliest, latest or committed.")
    partitions = set(only) or set(range(topic.partitions))
    if unknown := partitions - set(range(topic.partitions)):
        raise UsageError(
            f"--partition {min(unknown)}", f"{topic.name} has the partitions 0 to {topic.partitions - 1}."
        )
    admin = Admin(settings)
    store = Store(settings, topic.id)
    reader = Reader(settings, settings.clicks_topic)
    try:
        members = admin.group_members(settings.group)
        if members:
            raise RefusedError(
                f"group {settings.group} has {members} running consumers",
                "Stop them first; a killed one leaves after the session timeout.",
            )
        offsets = reader.end_offsets() if where == "latest" else reader.beginning_offsets()
        if where == "committed":
            found = admin.group_offsets(settings.group, topic.name)
            offsets |= {p: one.offset for p, one in found.items()}
        note = empty_note(rules_text(settings), topic.partitions, NOTHING_SEEN)
        # State first: a crash in between leaves an empty Redis, which is rebuilt to the old offsets.
        for partition in partitions:
            store.delete(partition)
        admin.set_group_offsets(
            settings.group, topic.name, {p: CommittedOffset(offsets[p], note) for p in partitions}
        )
        log.warning("starting over", group=settings.group, where=where, partitions=sorted(partitions))
    finally:
        reader.close()
        store.close()
        admin.close()
