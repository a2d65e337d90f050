"""Named places in the code where a drill may kill the process, to prove that nothing is lost there.

`CLICKSTREAM_FAILPOINT=after_commit` kills at the first pass, `after_commit:7` at the seventh.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator
from typing import TypeVar

T = TypeVar("T")

_name, _, _count = os.environ.get("CLICKSTREAM_FAILPOINT", "").partition(":")
_left = int(_count) if _count.isdigit() else 1

FAILPOINTS: dict[str, str] = {
    "after_poll": "records were read, nothing was done with them",
    "after_load": "states were loaded",
    "after_score": "online models learned in memory, nothing is written",
    "between_commits": "one partition's part of the step is in Redis, not the others'",
    "after_commit": "state, outbox and applied offset are in Redis, nothing is in Kafka",
    "after_produce": "scores and offsets are in an open transaction",
    "after_publish": "the transaction is committed, the outbox is not trimmed",
    "between_trims": "one partition's outbox is trimmed, not the others'",
    "after_trim": "the step is complete",
    "after_claim": "a partition was claimed in Redis, nothing was recovered",
    "after_fence": "a former owner's open transaction was aborted, nothing was recovered",
    "after_wipe": "a partition's state was wiped to be rebuilt",
    "after_republish": "a former owner's outbox was published, not trimmed",
    "after_reconcile": "a partition's state was made to agree with the log, nothing of it was read",
    "after_revoke": "partitions were taken away in a rebalance, the group does not know that they are free",
    "after_give_up": "a partition was given up in a rebalance",
}


def failpoint(name: str) -> None:
    """Die here, as by kill -9, when the environment asks for it."""
    global _left
    if name == _name:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def between(name: str, parts: Collection[T]) -> Iterator[Collection[T]]:
    """The `parts` of a work that is done at once.

    They come one by one where a drill kills between two of them: a server may have done the first alone when
    the process that sent all of them dies.
    """
    if name != _name:
        yield parts
        return
    for part in parts:
        yield (part,)
        failpoint(name)
