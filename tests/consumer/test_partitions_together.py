"""Partitions of one step share round trips to Redis, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from clickstream.consumer.state_format import meta_fields
from clickstream.consumer.store import Basis, Changes, LostError, Store
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.local.embedded import EmbeddedValkey
from clickstream.windows.open_session import OpenSession
from clickstream.windows.partition import Needs, Partition
from clickstream.windows.rules import Rules

pytestmark = pytest.mark.integration
PARTITIONS = (0, 3, 5)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder: Path = tmp_path_factory.mktemp("together")
    with EmbeddedValkey(folder) as valkey:
        yield Settings(home=folder, redis_url=SecretStr(valkey.url), kafka_bootstrap="nowhere:1")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with closing(Store(settings, "together")) as opened:
        for partition in PARTITIONS:
            opened.delete(partition)
            opened.claim(partition, f"owner of {partition}", 1, "id")
        yield opened


def changes(partition: int, expected: int | None, applied: int) -> Changes:
    fields = meta_fields(Partition(Rules(), 9_000, 1), "gap=1", 8)
    session = {f"visitor of {partition}": (OpenSession(), 5)}
    return Changes(f"owner of {partition}", expected, applied, fields, session)


def asked(partition: int, applied: int | None, sessions: int) -> tuple[Basis, Needs]:
    return Basis(f"owner of {partition}", applied, sessions), Needs({f"visitor of {partition}"}, 5, 0)


def applied(store: Store) -> list[int | None]:
    return [store.peek(partition).applied for partition in PARTITIONS]


def test_a_step_of_several_partitions_takes_one_round_trip_to_load_to_write_and_to_trim(store: Store) -> None:
    store.commit({p: changes(p, None, p + 1) for p in PARTITIONS})
    before = store.round_trips
    store.commit({p: changes(p, p + 1, p + 2) for p in PARTITIONS})
    loaded = store.load({p: asked(p, p + 2, 1) for p in PARTITIONS})
    store.trim({p: (f"owner of {p}", p + 2) for p in PARTITIONS})
    assert store.round_trips - before == 3
    assert {p: set(sessions()) for p, sessions in loaded.items()} == {
        p: {f"visitor of {p}"} for p in PARTITIONS
    }
    assert [store.peek(p).published for p in PARTITIONS] == [2, 5, 7]


def test_a_partition_that_another_took_over_fails_by_name_and_the_others_are_written(store: Store) -> None:
    store.claim(3, "heir", 2, "id")
    with pytest.raises(LostError, match="partition 3: another owner claimed it"):
        store.commit({p: changes(p, None, 7) for p in PARTITIONS})
    assert applied(store) == [7, None, 7]
    loaded = store.load({0: asked(0, 7, 1), 3: asked(3, None, 0), 5: asked(5, 6, 1)})
    assert list(loaded[0]()) == ["visitor of 0"]
    with pytest.raises(LostError, match="partition 3: another owner claimed it"):
        loaded[3]()
    with pytest.raises(LostError, match="partition 5: its state moved under us"):
        loaded[5]()


def test_scripts_that_the_server_forgot_are_loaded_again_and_each_runs_once(
    store: Store, settings: Settings
) -> None:
    store.commit({p: changes(p, None, 1) for p in PARTITIONS})
    with closing(connect(settings)) as redis:
        redis.script_flush()
    store.commit({p: changes(p, 1, 2) for p in PARTITIONS})
    assert applied(store) == [2, 2, 2]
