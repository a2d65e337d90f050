"""Whether a process makes progress, and whether it can.

Alive: its loop turned lately; if not, restart it. Ready: nothing stands in the way of results, by the loop's
own word, and the servers answered when they were last asked. A server that is away is a reason to wait, not
to restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka import Admin
from clickstream.infra.logs import logger
from clickstream.infra.redis import connect, translated
from clickstream.infra.settings import Settings
from clickstream.monitoring.metrics import Sample

log = logger("health")

STUCK_AFTER_S = 90.0
"""Beyond what a step may take: after 60 s without a poll the group gives the partitions away."""

_WAITING_AFTER_S = 15.0
"""A turn takes a tenth of a second; one that takes longer than `patience` waits for something."""

_PROBE_EVERY_S = 1.0
_WATCH_EVERY_S = 2.0
_PROBE_MS = 1_500


class Probe(Protocol):
    """A question to a server. `server` is its kind, "redis" or "kafka"."""

    server: str

    def __call__(self) -> None:
        """Raises a ClickstreamError where it does not answer."""

    def close(self) -> None:
        """Drop the connection."""


class HealthReport(NamedTuple):
    """An answer to somebody who watches: good or not, and what there is to say."""

    good: bool
    content: dict[str, Any]


class Health:
    """The health of a process: its loop reports each turn, other threads ask."""

    def __init__(self, probes: Sequence[Probe] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._probes = probes
        self._clock = clock
        self._turned_at = clock()
        self._reasons: tuple[str, ...] = ("it is starting",)
        self._details: Mapping[str, Any] = {}
        self._probed_at = float("-inf")
        # By kind: what is said of a server that is away, and since when it is.
        self._away: Mapping[str, str] = {}
        self._away_since: Mapping[str, float] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._watching: threading.Thread | None = None

    def watch(self) -> None:
        """Ask the servers every few seconds, until `close`: an idle loop does not notice that one is away."""
        self._watching = threading.Thread(target=self._watch, name="health", daemon=True)
        self._watching.start()

    def turned(self, reasons: Sequence[str] = (), **details: Any) -> None:
        """The loop made a turn; `reasons`: what keeps it from results, `details`: what else to report."""
        self._turned_at = self._clock()
        self._reasons, self._details = tuple(reasons), details

    def alive(self) -> HealthReport:
        """Whether the loop turns."""
        silent = self._clock() - self._turned_at
        return HealthReport(silent < STUCK_AFTER_S, {"last_turn_s": round(silent, 3)})

    def ready(self) -> HealthReport:
        """Whether results can be expected. Asks the servers, at most once a second."""
        reasons = [*self._reasons, *self._servers_away().values()]
        if self._waits():
            reasons.append(f"its loop has not turned for {self._clock() - self._turned_at:.0f} s")
        return HealthReport(not reasons, {"reasons": reasons, **self._details})

    def samples(self) -> Iterator[Sample]:
        """Ready by the last answers of the servers: a scrape must not wait for one that is away."""
        yield Sample("clickstream_ready", not self._waits() and not self._reasons and not self._away)
        now, away_since = self._clock(), self._away_since
        for probe in self._probes:
            since = away_since.get(probe.server, now)
            yield Sample("clickstream_server_away_seconds", now - since, (probe.server,))

    def close(self) -> None:
        """Stop asking, after the question that is under way, and drop the connections to the servers."""
        self._closed.set()
        with self._lock:
            for probe in self._probes:
                probe.close()
        if self._watching is not None:
            self._watching.join()

    def _waits(self) -> bool:
        return self._clock() - self._turned_at >= _WAITING_AFTER_S

    def _watch(self) -> None:
        while not self._closed.is_set():
            self._servers_away()
            self._closed.wait(_WATCH_EVERY_S)

    def _servers_away(self) -> Mapping[str, str]:
        with self._lock:
            if not self._closed.is_set() and self._clock() - self._probed_at >= _PROBE_EVERY_S:
                asked_at = self._clock()
                away = {probe.server: said for probe in self._probes if (said := self._problem(probe))}
                self._away = away
                self._away_since = {server: self._away_since.get(server, asked_at) for server in away}
                self._probed_at = self._clock()
            return self._away

    def _problem(self, probe: Probe) -> str:
        """What is said of this server; the whole is logged once, as is that it is back."""
        said = what = ""
        try:
            probe()
        except ClickstreamError as error:
            said, what = without_address(probe.server, error), error.what
        except Exception as error:  # noqa: BLE001
            # Not foreseen, and no answer either. Whoever asks must go on, or the last word stays for ever.
            said = f"asking {probe.server.capitalize()} failed; the log says more"
            what = f"{type(error).__name__}: {error}"
        if said != self._away.get(probe.server, ""):
            if said:
                log.warning("server away", server=probe.server, error=what)
            else:
                log.info("server is back", server=probe.server)
        return said


def without_address(server: str, error: ClickstreamError) -> str:
    """What whoever asks is told of a server, "redis" or "kafka": no token is asked for, so no address."""
    trouble = "does not answer" if error.retriable else "refuses us"
    return f"{server.capitalize()} {trouble}; the log says more"


class RedisProbe:
    """Asks Redis, on a connection of its own."""

    server = "redis"

    def __init__(self, settings: Settings) -> None:
        self._settings = _impatient(settings)
        self._client: Any = None

    def __call__(self) -> None:
        """Raises a ClickstreamError where it does not answer."""
        with translated("asking whether it is there", self._settings):
            self._client = self._client or connect(self._settings)
            self._client.ping()

    def close(self) -> None:
        """Drop the connection."""
        if self._client is not None:
            self._client.close()


class KafkaProbe:
    """Asks the coordinator of the group, on a connection of its own."""

    server = "kafka"

    def __init__(self, settings: Settings) -> None:
        self._settings = _impatient(settings)
        self._admin: Admin | None = None

    def __call__(self) -> None:
        """Raises a ClickstreamError where it does not answer."""
        try:
            self._admin = self._admin or Admin(self._settings)
            self._admin.group_members(self._settings.group)
        except ClickstreamError:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection."""
        if self._admin is not None:
            with suppress(ClickstreamError):
                self._admin.close()
            self._admin = None


def _impatient(settings: Settings) -> Settings:
    return settings.model_copy(update={"patience": min(_PROBE_MS, settings.patience)})
