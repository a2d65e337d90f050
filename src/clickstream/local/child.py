"""A server process of ours: one owner for its folder, its end tied to ours, its output kept."""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from clickstream.infra.errors import ConfigurationError

HOST = "127.0.0.1"

_given: set[int] = set()
_LOG_LIMIT = 5 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that is free now, given to nobody else here, below those of outgoing connections.

    From among those, a client that calls a server which is down can be given the server's own port, reach
    itself, and keep the server from coming back.
    """
    for _ in range(200):
        port = random.randrange(20_000, 30_000)
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise ConfigurationError(
        f"No free port between 20000 and 30000 on {HOST}.", "Stop what occupies them, or give a port."
    )


def tied_to_parent() -> Callable[[], None] | None:
    """For `preexec_fn`: the kernel kills the child when the thread that starts it is gone (Linux only)."""
    libc, parent = _LIBC, os.getpid()
    if libc is None:
        return None

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


class Child:
    """At most one server process at a time, in a folder that nobody else may use meanwhile.

    The folder is held by a lock that the process inherits, so it is free again only when both the process
    and we are gone, however they ended. The process has a session of its own: a Ctrl-C in the terminal does
    not reach it. On Linux it is killed when the *thread* that spawned it ends: spawn from the main thread.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder.absolute()
        self.log = self.folder / f"{name.lower()}.log"
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The id of the process; None before `spawn` and after `stop` or `kill`."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether there is a process that has not ended."""
        return self._process is not None and self._process.poll() is None

    def hold(self) -> int:
        """Takes the folder, which is made if need be, until `stop` or `kill`; the lock's file descriptor.

        Raises:
            ConfigurationError: another owner or its process has it, and which; or it cannot be made.
        """
        if self._lock is not None:
            return self._lock
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The folder {self.folder} cannot be made: {error.strerror}.",
                "Give a --home that can be written, or the addresses of servers that run:"
                " CLICKSTREAM_KAFKA_BOOTSTRAP and CLICKSTREAM_REDIS_URL.",
            ) from error
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        # A process that was killed together with its owner takes a moment to be gone.
        deadline = time.monotonic() + 1.0
        while not _locked(lock):
            if time.monotonic() > deadline:
                holder = os.pread(lock, 1000, 0).decode(errors="replace") or "by another process"
                os.close(lock)
                raise ConfigurationError(
                    f"The folder {self.folder} is in use: {holder}.",
                    "Use that server, or stop the process that started it, or give another --home.",
                )
            time.sleep(0.05)
        self._lock = lock
        return lock

    def spawn(self, command: Sequence[str], address: str) -> None:
        """Starts `command` in the folder, once the last one has ended; its output goes to `log`."""
        lock = self.hold()
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
                preexec_fn=tied_to_parent(),
            )
        note = f"{self.name} at {address}, process {self.pid}, started by process {os.getpid()}"
        os.ftruncate(lock, 0)
        os.pwrite(lock, note.encode(), 0)

    def output(self) -> str:
        """What the process has written since `spawn`, at most the last 64 kB of it."""
        try:
            with self.log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, end - 65_536))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def terminate(self) -> None:
        """Asks the process to end; does nothing if there is none."""
        self.send(signal.SIGTERM)

    def send(self, number: int) -> None:
        """Sends the process a signal; does nothing if there is none."""
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self, deadline_s: float) -> None:
        """Asks the process to end, kills it after `deadline_s` or when interrupted; frees the folder."""
        try:
            self.terminate()
            if self._process is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(deadline_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends the process and what it forked with SIGKILL, waits until it is gone, frees the folder."""
        if self._process is not None:
            if self.running:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
