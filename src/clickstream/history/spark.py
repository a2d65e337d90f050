"""Spark: the same reading and the same fold on a cluster, where one machine is outgrown.

Tasks read files and give their clicks to Spark, which brings each session whole, and sorted, to one task that
folds it. The bundle is verified here, sent as bytes, and opened once by each worker.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from clickstream.bundles.bundle import Bundle, find_bundle, open_bundle
from clickstream.bundles.verification import VerifiedBundle
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import shop_of
from clickstream.files.history import (
    ClickBuckets,
    NoClicksError,
    RefusedExample,
    RefusedRows,
    SelectMapping,
    open_clicks,
)
from clickstream.files.history.buckets import (
    Finishing,
    finished,
    schema_of,
    sort_order,
    unsorted_schema,
)
from clickstream.files.history.finishing import END_ROW
from clickstream.files.history.opening import mapping_of
from clickstream.files.history.stored import LogSource, StoredFile, at_hand, find_log
from clickstream.files.mapping import UciMapping
from clickstream.files.mapping.derive import mean_prices
from clickstream.files.reading import ClickMapping
from clickstream.history.fold import fold_clicks, session_schema
from clickstream.history.folder import open_folder, source_of
from clickstream.history.run import HistoryReport, concluded, size_of
from clickstream.infra import errors
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.extras import need
from clickstream.infra.settings import Settings
from clickstream.local.java import find_java
from clickstream.windows.fingerprint import rules_of, rules_text
from clickstream.windows.rules import Rules

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ROWS_OF_A_BATCH = 65_536
_TASK_MIB = 512
_BYTES_OF_A_PART = 32 << 20
"""Of a log, packed as it is."""

_LEAST_PARTS = 4
_EXAMPLES = 1_000
_OURS = re.compile(
    r"^clickstream\.infra\.errors\.(?P<kind>\w+): (?P<what>.*)(\n(?P<remedy>.+))?", re.MULTILINE
)
"""How Python shows an error of ours."""

_DAY = "day"
_UNUSED = "jdk.incubator.vector"
"""A module that Spark's launcher asks Java for, and that only its linear algebra makes use of."""


class Reading(NamedTuple):
    """What became of the rows of some files."""

    rows: int
    kept: int
    left_out: int
    refused: RefusedRows
    notes: tuple[str, ...] = ()


@contextmanager
def spark_session(master: str, partitions: int) -> Iterator[SparkSession]:
    """A session of Spark, ended with the block; one that is there, as in a notebook, is used and left.

    Without JAVA_HOME it runs on the Java that Kafka runs on.

    Args:
        master: as Spark has it: `local[2]`, `spark://host:7077`, `yarn`, `k8s://…`.
        partitions: into how many parts sessions are divided.

    Raises:
        ConfigurationError: the extra `spark` is not installed, or there is no Java.
    """
    need("spark", "--engine spark", "pyspark")
    with TemporaryDirectory(prefix="clickstream-java-") as folder, warnings.catch_warnings(), _environment():
        # It is about its API for pandas, which is not used.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        from pyspark.sql import SparkSession

        if (active := SparkSession.getActiveSession()) is not None:
            yield active
            return
        if "JAVA_HOME" not in os.environ:
            os.environ["JAVA_HOME"] = str(_java_home(Path(folder)))
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = (
            SparkSession.builder.master(master)
            .appName("clickstream")
            .config("spark.sql.execution.arrow.maxRecordsPerBatch", str(_ROWS_OF_A_BATCH))
            .config("spark.sql.shuffle.partitions", str(partitions))
            .config("spark.ui.showConsoleProgress", "false")
        )
        if master.startswith("local"):
            for name, value in (
                ("spark.ui.enabled", "false"),
                ("spark.driver.host", "127.0.0.1"),
                ("spark.driver.bindAddress", "127.0.0.1"),
            ):
                builder = builder.config(name, value)
        spark = builder.getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        try:
            yield spark
        finally:
            spark.stop()


@contextmanager
def _environment() -> Iterator[None]:
    """What a block sets in the environment is gone at its end."""
    before = os.environ.copy()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _java_home(folder: Path) -> Path:
    """A home of Java for Spark's launcher.

    The Java of the wheel is made of the modules that programs use, and does not start where it is asked for
    another one. So it is called through a script that leaves that word out.
    """
    java = Path(find_java("Spark", "set JAVA_HOME")).resolve()
    modules = subprocess.run([java, "--list-modules"], capture_output=True, text=True, check=True).stdout
    if _UNUSED in modules:
        return java.parent.parent
    script = folder / "bin" / "java"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/sh\n"
        f'for word do shift; [ "$word" = --add-modules={_UNUSED} ] || set -- "$@" "$word"; done\n'
        f'exec "{java}" "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder


class SparkSessions:
    """The sessions of a log. Nothing is read before `frame` is used.

    Attributes:
        frame: a row a session, with the columns of `session_schema`.
    """

    def __init__(
        self,
        spark: SparkSession,
        paths: Sequence[str | LogSource],
        mapping: ClickMapping | None,
        rules: Rules,
        bundle: VerifiedBundle | None = None,
        with_clicks: bool = False,
        patience_s: float = 30.0,
    ) -> None:
        """
        Args:
            paths: files, folders and patterns, which each worker finds under the same names; those of a store
                it fetches by itself.
            mapping: onto the clicks of the shop of the rules; None as for `open_clicks`.
            bundle: None for sessions without predictions.
            with_clicks: whether sessions carry theirs.
            patience_s: longest wait for an answer of a store.

        Raises:
            MissingFileError: a file is not there.
        """
        definition = rules.shop.definition
        # Duck-typed: without Spark there is no class to be one of.
        union: Any = _Union()
        self._readings: Any = spark.sparkContext.accumulator({}, union)
        files = find_log(paths, patience_s)
        clicks = _clicks(spark, files, definition, mapping, self._readings, patience_s)
        finishing, levels = _finishing(mapping)
        if levels:
            clicks = _with_levels(clicks, definition)
        opened = None if bundle is None else open_bundle(bundle)
        sent = None if bundle is None else spark.sparkContext.broadcast(bundle)
        # A shop is compiled where it is used.
        numbers = {name: getattr(rules, name) for name in rules.__slots__ if name != "shop"}

        def folded(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            shop = shop_of(definition)
            models = None if sent is None else _opened_once(sent.value)
            in_order = finished(batches, schema_of(definition), finishing)
            yield from fold_clicks(in_order, shop, Rules(**numbers, shop=shop), models, with_clicks)

        from pyspark.sql import functions

        order = [functions.col(f"`{name}`").asc_nulls_first() for name in sort_order(definition)]
        self.frame: DataFrame = (
            clicks.repartition("session_id")
            .sortWithinPartitions(*order)
            .mapInArrow(folded, _spark_schema(session_schema(rules.shop, opened, with_clicks)))
        )

    @property
    def reading(self) -> Reading:
        """What became of the rows of all files that were read by now."""
        of_files: list[tuple[str, Reading]] = sorted(self._readings.value.items())
        readings = [found for _, found in of_files]
        reasons: Counter[str] = Counter()
        examples: list[RefusedExample] = []
        for one in readings:
            reasons.update(one.refused.reasons)
            examples += one.refused.examples
        refused = RefusedRows(dict(reasons.most_common()), tuple(examples[:_EXAMPLES]))
        return Reading(
            sum(one.rows for one in readings),
            sum(one.kept for one in readings),
            sum(one.left_out for one in readings),
            refused,
            # What is so of one file may not be so of the log.
            tuple(
                note if len(of_files) == 1 else f"{Path(name).name}: {note}"
                for name, one in of_files
                for note in one.notes
            ),
        )


def make_sessions_on_spark(
    paths: Sequence[str | Path],
    out: Path,
    settings: Settings,
    *,
    master: str,
    mapping: Path | None = None,
    scored: bool = True,
    with_clicks: bool = False,
) -> HistoryReport | None:
    """Write the sessions of a log to `out` as `make_sessions` does; a run that was ended begins anew.

    Args:
        paths: files, folders and patterns, which each worker finds under the same names, as it does `out`;
            those of a store it fetches by itself.
        master: as Spark has it.
        scored: whether sessions have predictions.
        with_clicks: whether they carry their clicks, to train on.

    Returns:
        None where an earlier run had written all of them.

    Raises:
        MissingFileError, InputError, BundleError, UsageError, RefusedError: as of `make_sessions`.
        ConfigurationError: the extra `spark` is not installed, or there is no Java.
        ClickstreamError: Spark ended with an error of its own.
    """
    rules = rules_of(settings)
    bundle = find_bundle(settings) if scored else None
    patience_s = settings.patience / 1_000
    files = find_log(paths, patience_s)
    named = "" if bundle is None else bundle.manifest.id
    source = source_of(files, mapping, rules_text(settings), named, 0, with_clicks)
    with open_folder(out, source) as folder:
        if folder.is_finished:
            return None
        folder.discard_drafts()
        drafts = folder.work / "spark"
        with (
            spark_session(master, max(size_of(files) // _BYTES_OF_A_PART, _LEAST_PARTS)) as spark,
            translated(),
        ):
            read = mapping_of(mapping, rules.shop.definition)
            found = SparkSessions(spark, files, read, rules, bundle, with_clicks, patience_s)
            # A file a day, as one machine writes them.
            by_day = found.frame.withColumn(_DAY, _day_of_opening()).repartition(_DAY)
            by_day.write.mode("overwrite").partitionBy(_DAY).parquet(str(drafts), compression="zstd")
        for draft in sorted(drafts.glob(f"{_DAY}=*/*.parquet")):
            day = folder.day(draft.parent.name.removeprefix(f"{_DAY}="))
            day.parent.mkdir(exist_ok=True)
            draft.replace(day)
        return concluded(folder, found.reading)


def _day_of_opening() -> Any:
    from pyspark.sql import functions

    return functions.expr("date_add(DATE'1970-01-01', CAST(floor(opened_at / 86400000) AS INT))")


@contextmanager
def translated() -> Iterator[None]:
    """Errors of ours that a task ended with, as such again; any other of Spark as a ClickstreamError."""
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        text = str(error).strip()
        if (ours := _OURS.search(text)) is not None:
            kind = getattr(errors, ours["kind"])
            raise kind(ours["what"], ours["remedy"] or "") from error
        raise ClickstreamError(f"Spark ended: {text[-500:]}", "Its own log says more.") from error


def _clicks(
    spark: SparkSession,
    files: Sequence[LogSource],
    definition: ShopDefinition,
    mapping: ClickMapping | None,
    readings: Any,
    patience_s: float,
) -> DataFrame:
    """The clicks of the files, unsorted; each task reads one of them, or the only one all of them.

    A SELECT may look at other rows of the log than the one that it makes a click of.
    """
    found = [file if isinstance(file, StoredFile) else file.resolve() for file in files]
    tasks: list[list[LogSource]] = [found] if isinstance(mapping, SelectMapping) else [[one] for one in found]

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                with TemporaryDirectory(prefix="clickstream-") as work:
                    reading, clicks = _read(tasks[number], definition, mapping, Path(work), patience_s)
                    readings.add({_name(tasks[number][0]): reading})
                    if clicks is not None:
                        yield from clicks.unsorted(0)

    schema = unsorted_schema(definition)
    each = spark.sparkContext.parallelize([(number,) for number in range(len(tasks))], len(tasks))
    return spark.createDataFrame(each, "task int").mapInArrow(read, _spark_schema(schema))


def _read(
    files: Sequence[LogSource],
    definition: ShopDefinition,
    mapping: ClickMapping | None,
    work: Path,
    patience_s: float,
) -> tuple[Reading, ClickBuckets | None]:
    """What became of the rows of some files, and their clicks; None where there are none."""
    try:
        with at_hand(files, work / "stored", patience_s) as paths:
            found = open_clicks(
                paths, shop_of(definition), mapping, work=work, memory_mib=_TASK_MIB, buckets=1
            )
    except NoClicksError as error:
        # Other files of the log may hold some.
        return Reading(error.rows, 0, error.left_out, error.refused), None
    return Reading(found.rows, found.kept, found.left_out, found.refused, found.notes), found


def _name(file: LogSource) -> str:
    return file.url if isinstance(file, StoredFile) else str(file)


def _finishing(mapping: ClickMapping | None) -> tuple[Finishing, bool]:
    """What is done to sorted clicks, and whether `price_2` is derived before."""
    if isinstance(mapping, SelectMapping):
        return Finishing(), False
    with_ends = mapping is not None and mapping.rows is not None and bool(mapping.rows.end)
    if not isinstance(mapping, UciMapping):
        return Finishing(with_ends), False
    spec = mapping.clicks
    depth = None if spec.page.derive is None else spec.page.at_most
    return Finishing(with_ends, depth=depth), spec.price_2.derive is not None


def _with_levels(clicks: DataFrame, definition: ShopDefinition) -> DataFrame:
    """The clicks with `price_2` by the mean prices of all of them, which takes one more reading."""
    shown = ("category", "product", "price")
    counted = clicks.where(f"NOT {END_ROW}").groupBy(*shown).count().collect()
    means = mean_prices({tuple(row[name] for name in shown): row["count"] for row in counted})
    schema = unsorted_schema(definition)

    def levelled(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        place = schema.get_field_index("price_2")
        for batch in batches:
            pairs = zip(batch["category"].to_pylist(), batch["price"].to_pylist(), strict=True)
            levels = [1 if price is not None and price > means[category] else 2 for category, price in pairs]
            yield batch.set_column(place, schema.field(place), pa.array(levels, pa.int64()))

    return clicks.mapInArrow(levelled, _spark_schema(schema))


_opened: dict[str, Bundle] = {}


def _opened_once(sent: VerifiedBundle) -> Bundle:
    """The bundle, opened by this process once: a worker folds one part after the other."""
    if sent.manifest.id not in _opened:
        _opened.clear()
        _opened[sent.manifest.id] = open_bundle(sent)
    return _opened[sent.manifest.id]


class _Union:
    """Of readings by file: who reads a file a second time says the same again."""

    def zero(self, _: Mapping[str, Reading]) -> dict[str, Reading]:
        return {}

    def addInPlace(self, one: dict[str, Reading], other: Mapping[str, Reading]) -> dict[str, Reading]:
        one.update(other)
        return one


def _spark_schema(schema: pa.Schema) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    make: Callable[[pa.Schema], Any] = from_arrow_schema
    return make(schema)
