"""Processes of ours that a command runs: consumers under supervision, a replay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from clickstream.infra.errors import ClickstreamError, FencedError
from clickstream.infra.settings import Settings, as_environment
from clickstream.local.child import tied_to_parent

_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.2, 5.0


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a command of ours meets exactly these settings."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("CLICKSTREAM_")}
    return others | as_environment(settings)


class Process:
    """`clickstream …` in a process of its own, its output in `log`, tied to ours."""

    def __init__(self, words: Sequence[str], settings: Settings, log: Path, failpoint: str = "") -> None:
        self._words = list(words)
        self._environment = environment(settings) | {"CLICKSTREAM_FAILPOINT": failpoint}
        self.log = log
        self._backoff_s = _FIRST_BACKOFF_S
        self._again_at: float | None = None
        self._start()

    @property
    def pid(self) -> int:
        """The id of the process, running or not."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code; None while the process runs."""
        return self._process.poll()

    def keep_alive(self) -> None:
        """Start the process again, with back-off, where it was fenced or killed.

        Raises:
            ClickstreamError: it ended with an error that a restart cannot cure; carries its last words.
        """
        code = self._process.poll()
        if code is None:
            return
        if code not in (FencedError.exit_code, -signal.SIGKILL, 69):
            raise ClickstreamError(
                f"clickstream {' '.join(self._words)} ended with {code}", self.last_words()
            )
        now = time.monotonic()
        if self._again_at is None:
            self._again_at = now + self._backoff_s
            self._backoff_s = min(self._backoff_s * 2, _LAST_BACKOFF_S)
        elif now >= self._again_at:
            self._again_at = None
            self._start()

    def last_words(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    def kill(self) -> None:
        """End the process with SIGKILL, as kill -9 does."""
        self._process.kill()
        self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal, if the process runs."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, deadline_s: float) -> int:
        """Wait for the end of the process; its exit code.

        Raises:
            TimeoutError: it still runs.
        """
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"clickstream {' '.join(self._words)} still runs") from error

    def terminate(self) -> None:
        """Ask the process to stop, without waiting."""
        self.signal(signal.SIGTERM)

    def stop(self, deadline_s: float = 15.0) -> int:
        """Ask the process to stop, and kill it after the deadline; the exit code."""
        self.terminate()
        try:
            return self.wait(deadline_s)
        except TimeoutError:
            self.kill()
            return -signal.SIGKILL

    def _start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "clickstream", *self._words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                # A Ctrl-C in the terminal is for us: we stop the parts in order.
                start_new_session=True,
                preexec_fn=tied_to_parent(),
            )
