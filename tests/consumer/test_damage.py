"""Whatever is changed in a partition's keys in Redis is noticed: a loss, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from factory import session, step
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from clickstream.consumer.store import (
    Basis,
    Changes,
    DamagedError,
    LostError,
    OutboxRecord,
    Store,
    meta_fields,
)
from clickstream.infra.errors import RefusedError
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.local.embedded import EmbeddedValkey
from clickstream.windows.partition import NOTHING_SEEN, Crumb, Open, Partition, Pending, Rules

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder: Path = tmp_path_factory.mktemp("damage")
    with EmbeddedValkey(folder) as valkey:
        yield Settings(home=folder, redis_url=SecretStr(valkey.url), kafka_bootstrap="nowhere:1")


def written(store: Store) -> dict[str, Open]:
    """A partition with two sessions, online models and an outbox."""
    store.delete(0)
    store.claim(0, "writer", 1, "shop-one")
    kept = {
        "one": Open(session(step(1_000, 1), step(2_000, 2)), [Pending(step(9_000, 4), 8)]),
        "two": Open(session(step(3_000, 1)), []),
    }
    logic = Partition(Rules(), 9_000, 2, [Crumb(1, NOTHING_SEEN)])
    outbox = [OutboxRecord(4, "scores", b"key", b"value"), OutboxRecord(4, "scores", b"", b"other")]
    sessions = {name: (state, 1_900_000) for name, state in kept.items()}
    fields = meta_fields(logic, "fold=1;gap=600000", 8)
    store.commit(0, "writer", Changes(None, 9, fields, sessions, (), b"bundle\nstate", outbox))
    return kept


def damaged(data: bytes, draw: Any) -> bytes:
    how = draw(st.sampled_from(["flip", "cut", "replace"]))
    if how == "replace" or not data:
        other: bytes = draw(st.binary(max_size=20).filter(lambda other: other != data))
        return other
    at = draw(st.integers(0, len(data) - 1))
    if how == "cut":
        return data[:at]
    return data[:at] + bytes((data[at] ^ draw(st.integers(1, 255)),)) + data[at + 1 :]


def damage(redis: Any, keys: tuple[str, ...], draw: Any) -> str:
    """One change of one stored value or type; what was changed."""
    meta, sessions, due, outbox, online = keys
    kind: str = draw(st.sampled_from(["meta", "session", "due", "outbox", "online", "type"]))
    if kind == "meta":
        names = sorted(redis.hkeys(meta))
        name = draw(st.sampled_from(names))
        redis.hset(meta, name, damaged(redis.hget(meta, name), draw))
        return f"meta {name.decode()}"
    if kind == "session":
        name = draw(st.sampled_from([b"one", b"two"]))
        redis.hset(sessions, name, damaged(redis.hget(sessions, name), draw))
    elif kind == "due":
        redis.zrem(due, "one")
        redis.zadd(
            due, {draw(st.binary(min_size=1, max_size=9).filter(lambda b: b not in (b"one", b"two"))): 5}
        )
    elif kind == "outbox":
        (first, fields), (second, _) = redis.xrange(outbox)
        name = draw(st.sampled_from(sorted(set(fields) - {b"c"})))
        redis.delete(outbox)
        redis.xadd(outbox, fields | {name: damaged(fields[name], draw)}, id=first)
        redis.xadd(outbox, fields, id=second)
    elif kind == "online":
        redis.set(online, damaged(redis.get(online), draw))
    else:
        key = draw(st.sampled_from(keys))
        redis.delete(key)
        if draw(st.booleans()) and key != online:
            redis.set(key, "strange")
        else:
            redis.lpush(key, "strange")
        return f"type {keys.index(key)}"
    return kind


OWNERSHIP = ("meta token", "meta generation", "meta transactional_id", "meta published", "meta version",
             "meta online")  # fmt: skip


@given(st.data())
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_of_stored_state_is_noticed_by_a_claim_or_a_load(own: Settings, data: Any) -> None:
    """Then the claim is a rebuild, or the partition refused by name; undamaged parts are read as written."""
    with closing(Store(own, "topic")) as store, closing(connect(own)) as redis:
        kept = written(store)
        what = damage(redis, store.keys(0), data.draw)
        try:
            found = store.claim(0, "heir", 2, "shop-two")
            if not found.whole:
                store.wipe(0, "heir")
                assert store.peek(0).applied is None
                return
            loaded = store.load(0, Basis("heir", found.meta.applied, 2), ["one", "two"], 5)
        except DamagedError:
            assert store.claim(0, "heir", 2, "shop-two").meta.applied is None or what.startswith("type")
            return
        except LostError:
            assert what in OWNERSHIP
            return
        except RefusedError as refused:
            named = "format" in refused.what
            assert named
            return
        assert loaded == kept
        assert what in (*OWNERSHIP, "online"), what
        assert (found.meta.applied, found.meta.newest, found.meta.open_sessions) == (9, 9_000, 2)
        assert [record.value for record in found.outbox] == [b"value", b"other"]


@pytest.mark.parametrize("key", range(4))
def test_a_key_of_another_type_ends_a_running_step_as_damage(own: Settings, key: int) -> None:
    with closing(Store(own, "topic")) as store, closing(connect(own)) as redis:
        written(store)
        redis.delete(store.keys(0)[key])
        redis.lpush(store.keys(0)[key], "strange")
        fields = meta_fields(Partition(Rules(), 9_000, 0), "gap=1", 8)
        outbox = [OutboxRecord(11, "scores", b"", b"v")]
        changes = Changes(9, 12, fields, {"new": (Open(), 1)}, ["one"], b"b\ns", outbox)

        def work() -> None:
            store.load(0, Basis("writer", 9, 2), ["one"], 5)
            store.commit(0, "writer", changes)

        with pytest.raises(DamagedError):
            work()
        found = store.claim(0, "heir", 2, "shop-two")
        assert not found.whole or found.meta.applied is None
