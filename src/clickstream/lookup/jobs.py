"""Work beside the event loop: one thread, one short job after the other, in the order of the requests.

More threads would wait for each other's turn at the interpreter, some ms each time; one answers sooner.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from clickstream.infra.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")


class Jobs:
    """A thread of its own. `patience_s` is how long a job may wait for its turn."""

    def __init__(self, patience_s: float) -> None:
        self._thread = ThreadPoolExecutor(1, "lookup")
        self._patience_s = patience_s

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do `job` when its turn comes, and give what it returns.

        Raises:
            UnavailableError: its turn came so late that whoever asked no longer waits; it was not done.
        """
        asked = time.monotonic()

        def in_time() -> T:
            waited = time.monotonic() - asked
            if waited > self._patience_s:
                raise UnavailableError(
                    f"the look-up is behind: this request waited {waited:.1f} s for its turn",
                    "Redis is slow, or more is asked than one process answers: see --workers.",
                )
            return job(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._thread, in_time)

    def close(self) -> None:
        """Wait for the job under way; no other is begun."""
        self._thread.shutdown(cancel_futures=True)
