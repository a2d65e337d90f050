"""Session state in Redis: one partition's keys, read and written by scripts that check who asks.

Every key of a partition carries the same hash tag, so a script works on Redis Cluster as it is. A script
does its work whole or refuses: `token` says that we own the partition, the applied offset that the state
is the one we started from.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec

from clickstream.features.shop import Shop
from clickstream.infra.errors import ClickstreamError, RefusedError
from clickstream.infra.logs import logger
from clickstream.infra.redis import Script, WrongTypeError, connect, evicting, translated
from clickstream.infra.settings import Settings
from clickstream.windows.fingerprint import rules_of
from clickstream.windows.partition import NOTHING_SEEN, OpenSession, Partition, Rebuild, RebuildPoint

STATE_VERSION = 3
"""Of the encoding below. What is in another is refused, never guessed at: versions 1 and 2 had sessions with
the features of one dataset in them.

What is the same in every version, so that each takes over what another one drained: of the metadata
`version`, `applied`, `published`, `newest`, `open`, `outbox` (how many records), `partial_before`, `early`,
`settings`, `partitions`, `transactional_id`, and that `cut` is `{}` where it holds nothing. The online models
have a version of their own.
"""

_CHECKED = 0x80
"""Set in the first byte of a session: a checksum follows. Version 1 had none."""

_UNSUMMED = frozenset(("token", "generation", "transactional_id", "published", "outbox", "online", "sum"))
"""Metadata that scripts write by themselves, or not with each step."""

log = logger("store")

_encode = msgspec.msgpack.Encoder().encode
_times = msgspec.json.Decoder(dict[str, int])
_rebuild_points = msgspec.json.Decoder(tuple[RebuildPoint, ...])
_rebuild = msgspec.json.Decoder(Rebuild | None)


class LostError(ClickstreamError):
    """The partition's state is not the one that we worked on: ours no more, or gone."""

    retriable = True


class StaleError(LostError):
    """A later generation of the group owns the partition."""


class DamagedError(RefusedError):
    """What Redis holds of a partition is not what was written: it is rebuilt from the log, as if lost."""

    retriable = True

    def __init__(self, partition: int | None, what: str) -> None:
        of = "" if partition is None else f" of partition {partition}"
        self.reason = what
        super().__init__(
            f"the state in Redis{of} is damaged: {what}",
            "A consumer that reads it rebuilds the partition from the log. If it happens again, look at the"
            " server's memory and disk, and at who else writes there.",
        )


class OutboxRecord(NamedTuple):
    """A record to publish, and the offset of the record whose processing produced it."""

    offset: int
    topic: str
    key: bytes
    value: bytes

    @property
    def checksum(self) -> int:
        """Of all of it, kept beside it."""
        return zlib.crc32(b"\n".join((b"%d" % self.offset, self.topic.encode(), self.key, self.value)))


@dataclass(frozen=True, slots=True)
class Meta:
    """What is known of a partition besides its sessions. `applied` None: nothing was ever applied."""

    applied: int | None = None
    published: int | None = None
    newest: int = NOTHING_SEEN
    open_sessions: int = 0
    partial_before: int = -1
    doubtful: dict[str, int] = field(default_factory=dict)
    early: dict[str, int] = field(default_factory=dict)
    rebuild_points: tuple[RebuildPoint, ...] = ()
    closings: int = 0
    rebuild: Rebuild | None = None
    learn_from: int = 0
    settings: str = ""
    partitions: int = 0
    transactional_id: str = ""
    version: int = STATE_VERSION


@dataclass(frozen=True, slots=True)
class ClaimedState:
    """What a claim found. `whole` False: something is missing or damaged, so nothing of it is trusted."""

    meta: Meta
    outbox: tuple[OutboxRecord, ...]
    online: bytes | None
    whole: bool


class Basis(NamedTuple):
    """The state that a step starts from: whose it is, the offset applied to it, what is open in it."""

    token: str
    applied: int | None
    open_sessions: int


@dataclass(slots=True)
class Changes:
    """One step's writes to one partition."""

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
        """Scripts run so far."""
        return sum(one.runs for one in (self._claim, self._load, self._commit, self._trim, self._wipe))

    def keys(self, partition: int) -> tuple[str, str, str, str, str]:
        """meta, sessions, due, outbox, online."""
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
        values = _texts(flat)
        try:
            meta = _meta(values, len(entries))
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

    def load(
        self, partition: int, basis: Basis, session_ids: Iterable[str], due: int, first: int = 0
    ) -> dict[str, OpenSession]:
        """Sessions named, due at the watermark `due`, and the `first` that are due next.

        Raises:
            LostError: the partition is not ours any more, or its state is not the one that `basis` names.
            DamagedError: what is stored cannot be read; it is deleted, so that the next claim rebuilds it.
        """
        with self._of(partition, "loading sessions of"):
            applied = "" if basis.applied is None else basis.applied
            answer = self._load(
                self.keys(partition)[:3],
                [basis.token, applied, basis.open_sessions, due, first, *session_ids],
            )
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

    def commit(self, partition: int, token: str, changes: Changes) -> None:
        """Write a step, all or nothing.

        Raises:
            LostError: the partition is not ours any more, or its state is not the one we started from.
        """
        args: list[Any] = [
            token,
            "" if changes.expected is None else changes.expected,
            changes.applied,
            changes.online or b"",
        ]
        meta = dict(changes.meta)
        if changes.online:
            meta["online"] = 1
        if meta:
            summed = meta | {"applied": changes.applied}
            meta["sum"] = _sum({name: str(value) for name, value in summed.items()})
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
        with self._of(partition, "writing"):
            answer = self._commit(self.keys(partition), args)
        if answer != b"OK":
            raise self._lost(partition, answer)

    def trim(self, partition: int, token: str, committed: int) -> None:
        """Forget records of the outbox that a committed transaction published.

        Raises:
            LostError: the partition is not ours any more.
        """
        meta, _, _, outbox, _ = self.keys(partition)
        with self._of(partition, "trimming"):
            answer = self._trim((meta, outbox), [token, committed])
        if answer != b"OK":
            raise self._lost(partition, answer)

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
        """The partition's meta, without claiming anything.

        Raises:
            RefusedError: another version left sessions or an outbox.
            DamagedError: it cannot be read.
        """
        with self._of(partition, "reading the metadata of"):
            found = self._client.hgetall(self.keys(partition)[0])
        try:
            return read_meta(found)
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


def state_keys(settings: Settings, topic_id: str, partition: int) -> tuple[str, str, str, str, str]:
    """The keys of a partition: meta, sessions, due, outbox, online."""
    base = f"clickstream:{settings.group}:{topic_id}:{{{settings.clicks_topic}:{partition}}}:"
    return (base + "meta", base + "sessions", base + "due", base + "outbox", base + "online")


def read_meta(found: Mapping[bytes, bytes]) -> Meta:
    """The metadata of a partition, from the fields of its hash.

    Raises:
        RefusedError: another version left sessions or an outbox.
        DamagedError, ValueError: not what was written.
    """
    return _meta(_texts([text for pair in found.items() for text in pair]))


def encode(session: OpenSession) -> bytes:
    """The bytes that are kept of an open session."""
    state = _encode(session)
    return bytes((_CHECKED | STATE_VERSION,)) + zlib.crc32(state).to_bytes(4) + state


def decode(state: bytes, shop: Shop) -> OpenSession:
    """The open session in `state`, of clicks of `shop`.

    Raises:
        RefusedError: written by another version.
        DamagedError: not what was written.
    """
    if not state:
        raise DamagedError(None, "a session is empty")
    if state[0] != _CHECKED | STATE_VERSION:
        raise RefusedError(
            f"a session was stored in format {state[0] & ~_CHECKED}; this program reads {STATE_VERSION}",
            "Run the version that wrote it, `clickstream drain`, then start this one.",
        )
    kept = state[5:]
    if zlib.crc32(kept) != int.from_bytes(state[1:5]):
        raise DamagedError(None, "the checksum of a session does not match")
    try:
        return _decoder(shop)(kept)
    except (msgspec.DecodeError, ValueError) as error:
        raise DamagedError(None, f"a session cannot be read ({error})") from error


@cache
def _decoder(shop: Shop) -> Callable[[bytes], OpenSession]:
    opened: Any = OpenSession
    return msgspec.msgpack.Decoder(opened[shop.step, shop.aggregate]).decode


def meta_fields(
    logic: Partition, settings: str, partitions: int, learn_from: int = 0
) -> dict[str, str | int]:
    """The fields of `Meta` that a step writes."""
    return {
        "newest": logic.newest,
        "open": logic.open_sessions,
        "partial_before": logic.doubt.before,
        "cut": msgspec.json.encode(logic.doubt.sessions).decode(),
        "early": msgspec.json.encode(logic.early).decode(),
        "closings": logic.closings,
        "rebuild": msgspec.json.encode(logic.rebuild).decode(),
        "crumbs": msgspec.json.encode(logic.rebuild_points).decode(),
        "learn_from": learn_from,
        "settings": settings,
        "partitions": partitions,
        "version": STATE_VERSION,
    }


def _meta(values: Mapping[str, str], outbox: int = 0) -> Meta:
    """The metadata in `values`; `outbox` is the number of records found beside it.

    Raises:
        RefusedError: another version left sessions or an outbox.
        DamagedError, ValueError: not what was written.
    """
    version = int(values.get("version", STATE_VERSION))
    if version == STATE_VERSION and "sum" in values and _sum(values) != values["sum"]:
        raise DamagedError(None, "the checksum of the metadata does not match")
    meta = Meta(
        applied=int(values["applied"]) if "applied" in values else None,
        published=int(values["published"]) if "published" in values else None,
        newest=int(values.get("newest", NOTHING_SEEN)),
        open_sessions=int(values.get("open", 0)),
        partial_before=int(values.get("partial_before", -1)),
        early=_times.decode(values.get("early", "{}")),
        settings=values.get("settings", ""),
        partitions=int(values.get("partitions", 0)),
        transactional_id=values.get("transactional_id", ""),
        version=version,
    )
    if version == STATE_VERSION:
        return replace(
            meta,
            doubtful=_times.decode(values.get("cut", "{}")),
            rebuild_points=_rebuild_points.decode(values.get("crumbs", "[]")),
            closings=int(values.get("closings", 0)),
            rebuild=_rebuild.decode(values.get("rebuild", "null")),
            learn_from=int(values.get("learn_from", 0)),
        )
    unpublished = max(outbox, int(values.get("outbox", 0)))
    if meta.open_sessions or unpublished:
        held = (
            f"{meta.open_sessions} open sessions"
            if meta.open_sessions
            else f"{unpublished} unpublished records"
        )
        raise RefusedError(
            f"the state in Redis has {held} in format {version}; this program reads {STATE_VERSION}",
            "Run the version that wrote it, `clickstream drain`, stop it, then start this one.",
        )
    # Rebuild points serve what is open: with nothing open, the next record is the place to begin at.
    if values.get("cut", "{}") != "{}":
        # A cut says of one session what `partial_before` says of all: nobody's ends later than this.
        rules = dict(pair.partition("=")[::2] for pair in meta.settings.split(";"))
        return replace(meta, partial_before=max(meta.partial_before, meta.newest + int(rules.get("gap", ""))))
    return meta


def _texts(flat: Sequence[bytes]) -> dict[str, str]:
    """Names and values; bytes that are no text are kept visible, to be refused where they are read."""
    texts = [text.decode(errors="backslashreplace") for text in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _sum(values: Mapping[str, str]) -> str:
    """The checksum of the metadata, and the names it covers: another version's fields may be there too."""
    _, _, covered = values.get("sum", "").partition(" ")
    names = covered.split(" ") if covered else sorted(values.keys() - _UNSUMMED)
    text = "\n".join(f"{name}={values.get(name)}" for name in names)
    return f"{zlib.crc32(text.encode())} {' '.join(names)}"


def _outbox_record(entry_id: bytes, fields: Sequence[bytes]) -> OutboxRecord:
    named = dict(zip(fields[::2], fields[1::2], strict=False))
    try:
        record = OutboxRecord(int(entry_id.split(b"-")[0]), named[b"t"].decode(), named[b"k"], named[b"v"])
    except KeyError as error:
        raise DamagedError(None, f"record {entry_id!r} of the outbox has no {error}") from error
    if b"c" in named and named[b"c"] != b"%d" % record.checksum:
        raise DamagedError(None, f"the checksum of record {entry_id!r} of the outbox does not match")
    return record
