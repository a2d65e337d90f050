"""Whatever is changed in a partition's keys in Redis is noticed: a loss, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from factory import session, step
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr
from stored_damage import OWNERSHIP, damage

from clickstream.consumer.state_format import DamagedError, meta_fields
from clickstream.consumer.store import Basis, Changes, LostError, OutboxRecord, Store
from clickstream.infra.errors import RefusedError
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.local.embedded import EmbeddedValkey
from clickstream.windows.open_session import OpenSession, PendingClick
from clickstream.windows.partition import NOTHING_SEEN, Needs, Partition, RebuildPoint
from clickstream.windows.rules import Rules

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder: Path = tmp_path_factory.mktemp("damage")
    with EmbeddedValkey(folder) as valkey:
        yield Settings(home=folder, redis_url=SecretStr(valkey.url), kafka_bootstrap="nowhere:1")


def written(store: Store) -> dict[str, OpenSession]:
    """A partition with two sessions, online models and an outbox."""
    store.delete(0)
    store.claim(0, "writer", 1, "shop-one")
    kept = {
        "one": OpenSession(session(step(1_000, 1), step(2_000, 2)), [PendingClick(step(9_000, 4), 8)]),
        "two": OpenSession(session(step(3_000, 1)), []),
    }
    logic = Partition(Rules(), 9_000, 2, [RebuildPoint(1, NOTHING_SEEN)])
    outbox = [OutboxRecord(4, "scores", b"key", b"value"), OutboxRecord(4, "scores", b"", b"other")]
    sessions = {name: (state, 1_900_000) for name, state in kept.items()}
    fields = meta_fields(logic, "fold=1;gap=600000", 8)
    store.commit({0: Changes("writer", None, 9, fields, sessions, (), b"bundle\nstate", outbox)})
    return kept


@given(st.randoms(use_true_random=False))
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_of_stored_state_is_noticed_by_a_claim_or_a_load(own: Settings, rng: Random) -> None:
    """Then the claim is a rebuild, or the partition refused by name; undamaged parts are read as written."""
    with closing(Store(own, "topic")) as store, closing(connect(own)) as redis:
        kept = written(store)
        what = damage(redis, store.keys(0), rng)
        try:
            found = store.claim(0, "heir", 2, "shop-two")
            if not found.whole:
                store.wipe(0, "heir")
                assert store.peek(0).applied is None
                return
            basis = Basis("heir", found.meta.applied, 2)
            loaded = store.load({0: (basis, Needs({"one", "two"}, 5, 0))})[0]()
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
        changes = Changes("writer", 9, 12, fields, {"new": (OpenSession(), 1)}, ["one"], b"b\ns", outbox)

        def work() -> None:
            store.load({0: (Basis("writer", 9, 2), Needs({"one"}, 5, 0))})[0]()
            store.commit({0: changes})

        with pytest.raises(DamagedError):
            work()
        found = store.claim(0, "heir", 2, "shop-two")
        assert not found.whole or found.meta.applied is None
