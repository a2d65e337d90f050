"""Open sessions and online models as the consumers keep them in Redis, read beside them.

Each answer is read in one transaction of Redis, so sessions, metadata and models are those of one moment: the
end of a step. Nothing is written, and a consumer waits no longer than for any other command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clickstream.consumer.state_format import DamagedError, Meta, decode, read_meta, state_keys, texts_of
from clickstream.features.shop import Shop
from clickstream.infra.redis import connect, translated
from clickstream.infra.settings import Settings
from clickstream.windows.open_session import OpenSession

_HEAD = 512
"""Bytes of the online models that say which they are."""


class ReadState(NamedTuple):
    """What one partition holds of the sessions asked for.

    Attributes:
        meta: None where nothing was ever applied to the partition.
        sessions: those that are open.
        head: which online models go with them; empty while there are none.
        online: these models, with the bundle they belong to; None where only the head was asked for.
    """

    meta: Meta | None
    sessions: Mapping[str, OpenSession]
    head: bytes
    online: bytes | None = None


class StateReader:
    """Reads the state of one topic's partitions for one consumer group. May be used by several threads."""

    def __init__(self, settings: Settings, topic_id: str, shop: Shop) -> None:
        self._settings = settings
        self._topic_id = topic_id
        self._shop = shop
        self._client = connect(settings)

    def read(self, partition: int, session_ids: Sequence[str], with_models: bool = False) -> ReadState:
        """The sessions named, as far as they are open there; the online models too, where asked for.

        Raises:
            UnavailableError: Redis does not answer.
            RefusedError: what is stored is damaged, or of another version.
        """
        meta_key, sessions_key, _, _, online_key = self._keys(partition)
        with translated(f"reading partition {partition}", self._settings):
            pipe = self._client.pipeline(transaction=True)
            pipe.hgetall(meta_key)
            if with_models:
                pipe.get(online_key)
            else:
                pipe.getrange(online_key, 0, _HEAD - 1)
            if session_ids:
                pipe.hmget(sessions_key, list(session_ids))
            found, online, *values = pipe.execute()
        if isinstance(found, list):
            # Of a transaction on a cluster the client hands on what came.
            found = dict(zip(found[::2], found[1::2], strict=True))
        stored = zip(session_ids, values[0] if values else (), strict=True)
        sessions = {name: decode(value, self._shop) for name, value in stored if value is not None}
        online = bytes(online or b"")
        return ReadState(_meta(partition, found), sessions, _head_of(online), online if with_models else None)

    def holders(self, session_id: str, partitions: Sequence[int]) -> list[int]:
        """The partitions among these in which something of a session is open."""
        with translated("looking for a session", self._settings):
            pipe = self._client.pipeline(transaction=False)
            for partition in partitions:
                pipe.hexists(self._keys(partition)[1], session_id)
            return [partition for partition, there in zip(partitions, pipe.execute(), strict=True) if there]

    def latest(self, partitions: Sequence[int], most: int) -> dict[int, list[str]]:
        """Ids of the sessions that close last, up to `most` in all, by partition."""
        with translated("listing open sessions", self._settings):
            pipe = self._client.pipeline(transaction=False)
            for partition in partitions:
                pipe.zrevrange(self._keys(partition)[2], 0, most - 1, withscores=True)
            answers = pipe.execute()
        entries = [
            (due, partition, name.decode(errors="replace"))
            for partition, found in zip(partitions, answers, strict=True)
            for name, due in found
        ]
        chosen: dict[int, list[str]] = {}
        for _, partition, name in sorted(entries, reverse=True)[:most]:
            chosen.setdefault(partition, []).append(name)
        return chosen

    def ping(self) -> None:
        """Raises UnavailableError where Redis does not answer."""
        with translated("asking whether it is there", self._settings):
            self._client.ping()

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def _keys(self, partition: int) -> tuple[str, str, str, str, str]:
        return state_keys(self._settings, self._topic_id, partition)


def _head_of(stored: bytes) -> bytes:
    """The first two lines of stored online models: they differ whenever the models do."""
    return b"\n".join(stored[:_HEAD].split(b"\n", 2)[:2])


def _meta(partition: int, found: Mapping[bytes, bytes]) -> Meta | None:
    if not found:
        return None
    try:
        return read_meta(texts_of(found.items()))
    except ValueError as error:
        raise DamagedError(partition, str(error)) from error
