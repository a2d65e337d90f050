"""The life of a server that we run: launched, awaited, stopped or killed, started again."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.local.child import HOST, Child, free_port, is_free

_PORT_ATTEMPTS = 5
_STOP_DEADLINE_S = 10.0


class Server(ABC):
    """The life of one server. `port` is the one given, or a free one that stands after the first start."""

    name: str
    port_option: str

    def __init__(self, folder: Path, port: int | None) -> None:
        self.port = port or free_port()
        self._port_is_settled = port is not None
        self._child = Child(self.name, folder)

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Writes what the server reads at its start; the command that starts it on `port`."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether our server, and no other on that port, can serve a client."""

    @property
    def address(self) -> str:
        """The address as host:port."""
        return f"{HOST}:{self.port}"

    @property
    def folder(self) -> Path:
        """Where the server keeps its data and its log."""
        return self._child.folder

    @property
    def log(self) -> Path:
        """The log of the server."""
        return self._child.log

    @property
    def pid(self) -> int | None:
        """The id of the server's process; None when it is stopped."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process is there; false also when it ended by itself."""
        return self._child.running

    def start(self, deadline_s: float = 60.0) -> None:
        """Returns when the server serves clients; otherwise nothing is left running.

        Raises:
            ConfigurationError: the port or the folder is in use, or there is no Java that can run Kafka.
            UnavailableError: the server ended, was not ready in time, or could not be downloaded.
        """
        self.launch()
        self.wait_ready(deadline_s)

    def launch(self) -> None:
        """Starts the process and does not wait for the server. Raises as `start`."""
        if self.running:
            raise ConfigurationError(f"{self.name} at {self.address} runs already.", "Start it once.")
        self._child.hold()
        try:
            self._spawn()
        except BaseException:
            self.kill()
            raise

    def wait_ready(self, deadline_s: float = 60.0) -> None:
        """Returns when the launched server serves clients. Raises as `start`."""
        deadline = time.monotonic() + deadline_s
        attempts = 1
        try:
            while not self._answers():
                if not self.running:
                    if "Address already in use" not in self._child.output():
                        raise UnavailableError(
                            f"{self.name} ended while it started.{self._last_words()}",
                            "Correct what the log says, and start again.",
                        )
                    if attempts == _PORT_ATTEMPTS:
                        raise self._port_in_use()
                    attempts += 1
                    self._spawn()
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"{self.name} was not ready within {deadline_s:g} s.{self._last_words()}",
                        "Try again; if the machine is slow, give it more time.",
                    )
                time.sleep(0.02)
        except BaseException:
            self.kill()
            raise
        self._port_is_settled = True

    def check(self) -> None:
        """Raises UnavailableError, with the end of its log, if the server has ended by itself."""
        if not self.running:
            raise UnavailableError(
                f"{self.name} at {self.address} has ended.{self._last_words()}",
                "Start it again: its data is kept.",
            )

    def stop(self) -> None:
        """Ends the server in order, within ten seconds, else by `kill`. Does nothing if there is none."""
        self._child.stop(_STOP_DEADLINE_S)

    def terminate(self) -> None:
        """Asks the server to end, without waiting; `stop` or `kill` must follow."""
        self._child.terminate()

    def freeze(self) -> None:
        """Stops the server as it is, connections open, until `thaw`; nobody is answered meanwhile."""
        self._child.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Has a frozen server go on."""
        self._child.send(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the server with SIGKILL, as a crash would."""
        self._child.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self) -> None:
        if not is_free(self.port):
            if self._port_is_settled:
                raise self._port_in_use()
            self.port = free_port()
        self._child.spawn(self._prepare(), self.address)

    def _port_in_use(self) -> ConfigurationError:
        return ConfigurationError(
            f"Port {self.port} on {HOST}, wanted for {self.name}, is in use.",
            f"Stop what listens there, or choose another port ({self.port_option}).",
        )

    def _last_words(self) -> str:
        lines = self._child.output().splitlines()[-15:]
        return "".join(f"\n  {line}" for line in lines) + f"\nIts log: {self.log}"
