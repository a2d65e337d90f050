"""Session state in Redis: one partition's keys, read and written by scripts that check who asks.

Every key of a partition carries the same hash tag, so a script works on Redis Cluster as it is. A script
does its work whole or refuses: `token` says that we own the partition, the applied offset that the state
is the one we started from.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from typing import Any, NamedTuple

from clickstream.consumer.state_format import (
    DamagedError,
    Meta,
    checksum_of,
    decode,
    encode,
    read_meta,
    relied_on,
    state_keys,
    texts_of,
)
from clickstream.infra.errors import ClickstreamError, RefusedError
from clickstream.infra.logs import logger
from clickstream.infra.redis import Call, Script, WrongTypeError, connect, evicting, translated
from clickstream.infra.settings import Settings
from clickstream.windows.fingerprint import rules_of
from clickstream.windows.open_session import OpenSession
from clickstream.windows.partition import Needs

log = logger("store")


class LostError(ClickstreamError):
    """The partition's state is not the one that we worked on: ours no more, or gone."""

    retriable = True


class StaleError(LostError):
    """A later generation of the group owns the partition."""


class OutboxRecord(NamedTuple):
    """A record to publish, and the offset of the record whose processing produced it."""

    offset: int
    topic: str
    key: bytes
    value: bytes

    @property
    def checksum(self) -> int:
        """The checksum of all its fields, which is kept beside them."""
        return zlib.crc32(b"\n".join((b"%d" % self.offset, self.topic.encode(), self.key, self.value)))


@dataclass(frozen=True, slots=True)
class ClaimedState:
    """What a claim found. `whole` False: something is missing or damaged, so nothing of it is trusted."""

    meta: Meta
    outbox: tuple[OutboxRecord, ...]
    online: bytes | None
    whole: bool


LoadedSessions = dict[str, OpenSession]
"""By session id."""


class Basis(NamedTuple):
    """The state that a step starts from: whose it is, the offset applied to it, what is open in it."""

    token: str
    applied: int | None
    open_sessions: int


@dataclass(slots=True)
class Changes:
    """One step's writes to one partition: whose it is, the offset that was applied, and what is new."""

    token: str
    expected: int | None
    applied: int
    meta: Mapping[str, str | int]
    sessions: Mapping[str, tuple[OpenSession, int]] = field(default_factory=dict)
    deleted: Sequence[str] = ()
    online: bytes | None = None
    outbox: Sequence[OutboxRecord] = ()


class Store:
    """The state of a topic's partitions for one consumer group."""

    def __init__(self, settings: Settings, topic_id: str) -> None:
        self._settings = settings
        self._shop = rules_of(settings).shop
        self._client = connect(settings)
        self._topic_id = topic_id
        package = files("clickstream.consumer")
        self._claim, self._load, self._commit, self._trim, self._wipe = (
            Script(self._client, package.joinpath(f"{name}.lua").read_text())
            for name in ("claim", "load", "commit", "trim", "wipe")
        )

    @property
    def round_trips(self) -> int:
        """Requests to the server so far."""
        return sum(one.round_trips for one in (self._claim, self._load, self._commit, self._trim, self._wipe))

    def keys(self, partition: int) -> tuple[str, str, str, str, str]:
        """The five keys of a partition: meta, sessions, due, outbox, online."""
        return state_keys(self._settings, self._topic_id, partition)

    def claim(
        self, partition: int, token: str, generation: int, transactional_id: str, proven: bool = False
    ) -> ClaimedState:
        """Take the partition over, and read what its last owner left.

        Raises:
            StaleError: an owner of a later group generation claimed it, and we have not `proven` ourselves.
            RefusedError: another version left sessions or an outbox.
        """
        with translated(f"claiming partition {partition}", self._settings):
            answer = self._claim(
                self.keys(partition), [token, generation, transactional_id, "1" if proven else "0"]
            )
        if answer[0] == b"STALE":
            raise StaleError(
                f"partition {partition} is owned by group generation {answer[1]}; ours is {generation}",
                "Another consumer has it. Nothing is lost.",
            )
        _, flat, entries, sessions, due, online = answer
        values = texts_of(zip(flat[::2], flat[1::2], strict=True))
        try:
            meta = read_meta(values, len(entries))
            outbox = tuple(_outbox_record(*entry) for entry in entries)
            whole = (
                sessions == due == meta.open_sessions
                and len(outbox) == int(values.get("outbox", 0))
                and (bool(online) or values.get("online") != "1")
            )
        except (DamagedError, ValueError) as error:
            log.warning("state is damaged", partition=partition, error=str(error))
            former = values.get("transactional_id", "")
            return ClaimedState(Meta(transactional_id=former), (), None, whole=False)
        return ClaimedState(meta, outbox, online or None, whole)

    def load(self, asked: Mapping[int, tuple[Basis, Needs]]) -> dict[int, Callable[[], LoadedSessions]]:
        """Load what steps of partitions need, in one round trip.

        Returns, by partition, a function that gives its sessions. Each raises:
            LostError: the partition is not ours any more, or its state is not the one that `basis` names.
            DamagedError: what is stored cannot be read; it is deleted, so that the next claim rebuilds it.
        """
        calls = []
        for partition, (basis, needs) in asked.items():
            applied = "" if basis.applied is None else basis.applied
            args = [basis.token, applied, basis.open_sessions, needs.due, needs.first, *needs.session_ids]
            calls.append((self.keys(partition)[:3], args))
        with translated("loading sessions", self._settings):
            answers = self._load.each(calls)
        return {
            partition: partial(self._loaded, partition, basis, answer)
            for (partition, (basis, _)), answer in zip(asked.items(), answers, strict=True)
        }

    def _loaded(self, partition: int, basis: Basis, answer: Any) -> LoadedSessions:
        self._check(partition, "loading sessions of", answer)
        try:
            if answer[0] == b"DAMAGED":
                raise DamagedError(partition, answer[1].decode(errors="backslashreplace"))
            if answer[0] != b"OK":
                raise self._lost(partition, answer[0])
            return {answer[i].decode(): decode(answer[i + 1], self._shop) for i in range(1, len(answer), 2)}
        except (RefusedError, UnicodeDecodeError) as error:
            # A claim accepts no sessions of another version: here, one that seems to be of it is damage too.
            self.wipe(partition, basis.token)
            if isinstance(error, UnicodeDecodeError):
                raise DamagedError(partition, f"a session id is no text ({error})") from error
            reason = error.reason if isinstance(error, DamagedError) else error.what
            raise DamagedError(partition, reason) from error

    def commit(self, steps: Mapping[int, Changes]) -> None:
        """Write a step of each partition in one round trip, all of a partition's part or nothing.

        Raises:
            LostError: a partition is not ours any more, or its state is not the one we started from. The
                others may have been written.
            ForgedError: a number has outgrown what is stored of one.
        """
        calls: dict[int, Call] = {}
        for partition, changes in steps.items():
            with relied_on(partition):
                calls[partition] = (self.keys(partition), _arguments(changes))
        self._all_ok("writing", self._commit, calls)

    def trim(self, committed: Mapping[int, tuple[str, int]]) -> None:
        """Forget records of outboxes that a committed transaction published.

        Args:
            committed: by partition, our token and the committed offset.

        Raises:
            LostError: a partition is not ours any more.
        """
        self._all_ok("trimming", self._trim, {p: (self.keys(p)[::3], args) for p, args in committed.items()})

    def _all_ok(self, doing: str, script: Script, calls: Mapping[int, Call]) -> None:
        with translated(doing, self._settings):
            answers = script.each(list(calls.values()))
        for partition, answer in zip(calls, answers, strict=True):
            self._check(partition, doing, answer)
            if answer != b"OK":
                raise self._lost(partition, answer)

    def _check(self, partition: int, doing: str, answer: Any) -> None:
        if isinstance(answer, Exception):
            with self._of(partition, doing):
                raise answer

    def wipe(self, partition: int, token: str) -> None:
        """Delete the partition's state, to build it anew from the log.

        Raises:
            LostError: the partition is not ours any more.
        """
        with self._of(partition, "wiping"):
            answer = self._wipe(self.keys(partition), [token])
        if answer != b"OK":
            raise self._lost(partition, answer)

    def delete(self, partition: int) -> None:
        """Delete everything of a partition that nobody owns: a start over, on purpose."""
        with translated(f"deleting partition {partition}", self._settings):
            self._client.delete(*self.keys(partition))

    def peek(self, partition: int) -> Meta:
        """Read the metadata of a partition without claiming it.

        Raises:
            RefusedError: another version left sessions or an outbox.
            DamagedError: it cannot be read.
        """
        with self._of(partition, "reading the metadata of"):
            found = self._client.hgetall(self.keys(partition)[0])
        try:
            return read_meta(texts_of(found.items()))
        except ValueError as error:
            raise DamagedError(partition, str(error)) from error

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    def _lost(self, partition: int, answer: bytes) -> LostError:
        again = "The step is discarded and recovered."
        if answer != b"GONE":
            why = "another owner claimed it" if answer == b"FENCED" else "its state moved under us"
            return LostError(f"partition {partition}: {why} ({answer.decode()})", again)
        policy = evicting(self._client)
        why = f"Redis may evict keys (maxmemory-policy {policy})" if policy else "somebody deleted it"
        remedy = (
            "Set maxmemory-policy noeviction and raise maxmemory: an evicted session is a wrong score."
            if policy
            else "Redis was emptied or started without its data. The state is rebuilt from the log."
        )
        return LostError(f"partition {partition}: its state is gone from Redis: {why}", f"{remedy} {again}")

    @contextmanager
    def _of(self, partition: int, doing: str) -> Iterator[None]:
        try:
            with translated(f"{doing} partition {partition}", self._settings):
                yield
        except WrongTypeError as error:
            # The next claim finds it as well, and rebuilds.
            raise DamagedError(partition, error.what) from error


def _arguments(changes: Changes) -> list[Any]:
    """The arguments of commit.lua."""
    args: list[Any] = [
        changes.token,
        "" if changes.expected is None else changes.expected,
        changes.applied,
        changes.online or b"",
    ]
    meta = dict(changes.meta)
    if changes.online:
        meta["online"] = 1
    if meta:
        summed = meta | {"applied": changes.applied}
        meta["sum"] = checksum_of({name: str(value) for name, value in summed.items()})
    args.append(len(meta))
    for pair in meta.items():
        args += pair
    args.append(len(changes.sessions))
    for session_id, (session, due) in changes.sessions.items():
        args += (session_id, encode(session), due)
    args.append(len(changes.deleted))
    args += changes.deleted
    args.append(len(changes.outbox))
    for record in changes.outbox:
        args += (*record, record.checksum)
    return args


def _outbox_record(entry_id: bytes, fields: Sequence[bytes]) -> OutboxRecord:
    named = dict(zip(fields[::2], fields[1::2], strict=False))
    try:
        record = OutboxRecord(int(entry_id.split(b"-")[0]), named[b"t"].decode(), named[b"k"], named[b"v"])
    except KeyError as error:
        raise DamagedError(None, f"record {entry_id!r} of the outbox has no {error}") from error
    if b"c" in named and named[b"c"] != b"%d" % record.checksum:
        raise DamagedError(None, f"the checksum of record {entry_id!r} of the outbox does not match")
    return record
