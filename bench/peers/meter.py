"""What a peer used between its first record and its last."""

from __future__ import annotations

import json
import time


class Meter:
    """Counts records; prints {"records", "seconds", "cpu_seconds"} of what lies between first and last.

    CPU is that of all threads of the process, those of librdkafka too.
    """

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._count = 0
        self._began = self._ended = (0.0, 0.0)

    def read(self) -> None:
        """A record was read."""
        if not self._count:
            self._began = _clocks()
        self._count += 1
        if self._count == self._expected:
            self._ended = _clocks()

    def print(self) -> None:
        """The line, for who started us.

        Raises:
            SystemExit: not all records came.
        """
        if self._count < self._expected:
            raise SystemExit(f"read {self._count} of {self._expected} records")
        (wall, cpu), (wall_end, cpu_end) = self._began, self._ended
        print(json.dumps({"records": self._count, "seconds": wall_end - wall, "cpu_seconds": cpu_end - cpu}))


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()
