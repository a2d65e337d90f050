"""The bytes and texts that Redis keeps of a partition, and how they are read back or refused."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import msgspec

from clickstream.features.shop import Shop
from clickstream.infra.errors import RefusedError
from clickstream.infra.settings import Settings
from clickstream.windows.open_session import OpenSession
from clickstream.windows.partition import NOTHING_SEEN, Partition, Rebuild, RebuildPoint

STATE_VERSION = 3
"""Version of the encoding below. What is in another one is refused, never guessed at: versions 1 and 2 had
sessions with the features of one dataset in them.

What is the same in every version, so that each takes over what another one drained: of the metadata
`version`, `applied`, `published`, `newest`, `open`, `outbox` (how many records), `partial_before`, `early`,
`settings`, `partitions`, `transactional_id`, and that `cut` is `{}` where it holds nothing. The online models
have a version of their own.
"""

_CHECKED = 0x80
"""Set in the first byte of a session: a checksum follows. Version 1 had none."""

_UNSUMMED = frozenset(("token", "generation", "transactional_id", "published", "outbox", "online", "sum"))
"""Metadata that scripts write by themselves, or not with each step."""

_encode = msgspec.msgpack.Encoder().encode
_times = msgspec.json.Decoder(dict[str, int])
_rebuild_points = msgspec.json.Decoder(tuple[RebuildPoint, ...])
_rebuild = msgspec.json.Decoder(Rebuild | None)


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


class ForgedError(DamagedError):
    """A session's checksum is right, and its numbers are none that clicks add up to."""

    def __init__(self, partition: int, error: Exception) -> None:
        self.partition = partition
        what = f"{type(error).__name__}: {str(error)[:200]}"
        super().__init__(partition, f"under a checksum that is right, its sessions do not add up ({what})")


IMPOSSIBLE = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What is raised where numbers of a session contradict each other."""


@contextmanager
def relied_on(partition: int) -> Iterator[None]:
    """For what is computed of stored sessions of a partition, without I/O.

    To look for each contradiction in each session that is read costs more than all else that is done with it.

    Raises:
        ForgedError: it could not be computed.
    """
    try:
        yield
    except IMPOSSIBLE as error:
        raise ForgedError(partition, error) from error


@dataclass(frozen=True, slots=True)
class Meta:
    """What is known of a partition besides its sessions; docs/architecture.md has a table of the fields.

    `applied` is None where nothing was ever applied.
    """

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


def state_keys(settings: Settings, topic_id: str, partition: int) -> tuple[str, str, str, str, str]:
    """The five keys of a partition: meta, sessions, due, outbox, online."""
    base = f"clickstream:{settings.group}:{topic_id}:{{{settings.clicks_topic}:{partition}}}:"
    return (base + "meta", base + "sessions", base + "due", base + "outbox", base + "online")


def texts_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names and values of a hash; bytes that are no text stay visible, to be refused where they are read."""
    visible = "backslashreplace"
    return {name.decode(errors=visible): value.decode(errors=visible) for name, value in pairs}


def encode(session: OpenSession) -> bytes:
    """The bytes that are kept of an open session."""
    # Without conditions on open scores, what is kept is what it was before there were any.
    state = _encode(session if session.fired else (session.window, session.pending))
    return bytes((_CHECKED | STATE_VERSION,)) + zlib.crc32(state).to_bytes(4) + state


def decode(state: bytes, shop: Shop) -> OpenSession:
    """The open session in `state`, of clicks of `shop`.

    Raises:
        RefusedError: another version wrote it.
        DamagedError: it is not what was written.
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
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
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


def read_meta(values: Mapping[str, str], outbox: int = 0) -> Meta:
    """Read the metadata in `values`; `outbox` is the number of records found beside it.

    Raises:
        RefusedError: another version left sessions or an outbox.
        DamagedError, ValueError: it is not what was written.
    """
    version = int(values.get("version", STATE_VERSION))
    if version == STATE_VERSION and "sum" in values and checksum_of(values) != values["sum"]:
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


def checksum_of(values: Mapping[str, str]) -> str:
    """The checksum of the metadata, and the names it covers: another version's fields may be there too."""
    _, _, covered = values.get("sum", "").partition(" ")
    names = covered.split(" ") if covered else sorted(values.keys() - _UNSUMMED)
    text = "\n".join(f"{name}={values.get(name)}" for name in names)
    return f"{zlib.crc32(text.encode())} {' '.join(names)}"


def pack_online(bundle_id: str, state: bytes) -> bytes:
    """Online models as they are kept in Redis, with the bundle that they belong to."""
    return bundle_id.encode() + b"\n" + state


def unpack_online(packed: bytes) -> tuple[str, bytes]:
    """The bundle that kept online models belong to, and their state."""
    owner, _, state = packed.partition(b"\n")
    return owner.decode(errors="replace"), state
