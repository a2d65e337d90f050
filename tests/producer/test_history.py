"""Logs of any size, through DuckDB: the same clicks, the same refusals as row by row, in sorted buckets."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from clickstream.features.shop import UCI553, Shop, shop_of
from clickstream.features.shop_file import define
from clickstream.files.history import ClickBuckets, open_clicks
from clickstream.files.mapping import map_dataset, read_mapping

SHOP = shop_of(
    define(
        {
            "name": "s",
            "fields": {
                "event": {"type": "text"},
                "page": {"type": "integer", "optional": True},
                "price": {"type": "number", "at_least": 0, "optional": True},
                "member": {"type": "boolean", "optional": True},
            },
            "goal": {"when": 'event == "buy"'},
            "features": {"clicks": {"count": True}},
        },
        "s",
    )
)
MAPPING = """
[clicks]
session_id = "visit"
event_time = { column = "at", format = "s" }
event = "what"
page = "page"
price = "price"
member = "member"
"""
EXAMPLE = Path(__file__).parents[2] / "examples" / "own-clicks"


def opened(
    tmp_path: Path, *paths: Path | str, mapping: str = MAPPING, shop: Shop = SHOP, buckets: int = 3
) -> ClickBuckets:
    said = tmp_path / "mapping.toml"
    said.write_text(mapping)
    return open_clicks(paths, shop, said, work=tmp_path / "work", memory_mib=512, buckets=buckets)


def rows_of(buckets: ClickBuckets) -> list[dict[str, Any]]:
    """All clicks, bucket by bucket."""
    return [row for n in range(buckets.buckets) for batch in buckets.batches(n) for row in batch.to_pylist()]


def written(tmp_path: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    """A log of these rows in the format that its name says."""
    path = tmp_path / name
    lines = [",".join(rows[0]), *(",".join("" if v is None else str(v) for v in r.values()) for r in rows)]
    objects = [json.dumps(row) for row in rows]
    text = "\n".join(objects if ".jsonl" in name else lines).encode()
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(text))
    elif name.endswith(".zst"):
        path.write_bytes(zstandard.compress(text))
    else:
        path.write_bytes(text)
    return path


def click(visit: str, second: int = 0, what: str = "look", **more: Any) -> dict[str, Any]:
    row = {"visit": visit, "at": 1_772_445_600 + second, "what": what, "page": 3, "price": 2.5}
    return row | {"member": "true"} | more


ROWS = [click(f"v{n % 5}", 40 - n, price=n / 4) for n in range(20)]


@pytest.mark.parametrize(
    "name",
    ["log.csv", "log.csv.gz", "log.csv.zst", "log.jsonl", "log.jsonl.gz", "log.jsonl.zst", "log.parquet"],
)
def test_a_log_of_any_format_gives_each_session_whole_and_in_order(tmp_path: Path, name: str) -> None:
    found = opened(tmp_path, written(tmp_path, name, ROWS))
    assert (found.rows, found.kept, found.left_out, found.refused.count) == (20, 20, 0, 0)
    sessions: dict[str, set[int]] = {}
    for bucket in range(3):
        of_bucket = [row for batch in found.batches(bucket) for row in batch.to_pylist()]
        keys = [(row["session_id"], row["event_time"]) for row in of_bucket]
        assert keys == sorted(keys)
        for row in of_bucket:
            sessions.setdefault(row["session_id"], set()).add(bucket)
    assert sorted(sessions) == [f"v{n}" for n in range(5)]
    assert all(len(buckets) == 1 for buckets in sessions.values())
    assert {row["event_time"]: row["price"] for row in rows_of(found)} == {
        row["at"] * 1_000: row["price"] for row in ROWS
    }


def test_the_buckets_of_a_mapping_onto_uci553_are_the_clicks_that_row_by_row_gives(tmp_path: Path) -> None:
    mapping = EXAMPLE / "mapping.toml"
    expected = map_dataset(EXAMPLE / "clicks.csv", read_mapping(mapping))
    found = open_clicks([EXAMPLE / "clicks.csv"], UCI553, mapping, work=tmp_path, memory_mib=512, buckets=2)
    assert (found.kept, found.left_out) == (expected.cleaning.kept, expected.cleaning.skipped)
    names = [field.name for field in UCI553.definition.fields]
    clicks = {(row["session_id"], *(row[name] for name in names), row["end"]) for row in rows_of(found)}
    assert clicks == {
        (one.session_id, *(getattr(one, name) for name in names), one.end) for one in expected.dataset.clicks
    }
