"""A replay that goes on until it is asked to end, whatever happens to it meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from clickstream.infra.errors import ClickstreamError
from clickstream.infra.settings import Settings
from clickstream.local.processes import Process

# A broker that was away, a kill, our own word that it shall stop: before or after it could listen to it.
_TO_BE_RESUMED = (69, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM)


class ReplayLoad:
    """The same sessions again and again, each time as a further run behind the last.

    A producer that died is started with --resume, so it loses and repeats nothing.
    """

    def __init__(self, settings: Settings, words: Sequence[str], speed: float, logs: Path) -> None:
        self._settings = settings
        self._words = list(words)
        self._speed = str(speed)
        self._log = logs / "replay.log"
        self._ending = False
        self.finished = False
        self._process = self._start("--resume")

    def keep_up(self) -> None:
        """Start the next run when one is over, and go on with one that was stopped or lost its broker.

        Raises:
            ClickstreamError: the replay ended with an error; carries its last words.
        """
        code = self._process.poll()
        if code is None or self.finished:
            return
        if code == 0 and self._ending:
            self.finished = True
        elif code == 0:
            self._process = self._start("--append")
        elif code in _TO_BE_RESUMED:
            self._process = self._start("--resume")
        else:
            raise ClickstreamError(f"the replay ended with {code}", self._process.last_words())

    def kill(self) -> None:
        """End the replay with SIGKILL, as kill -9 does."""
        self._process.kill()

    def end(self) -> None:
        """Send what is left of the present run as fast as possible, so that every session closes."""
        if not self._ending:
            self._ending = True
            self._speed = "max"
            self._process.terminate()

    def close(self) -> None:
        """End the replay at once."""
        self._process.kill()

    def _start(self, mode: str) -> Process:
        words = ["replay", *self._words, "--speed", self._speed, mode]
        return Process(words, self._settings, self._log)
