"""Logs of any size, and the clicks that are read of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from shop_definitions import EVENTS

from clickstream.features.shop import Shop, shop_of
from clickstream.files.history import ClickBuckets, open_clicks

SHOP = shop_of(EVENTS)
MAPPING = """
[clicks]
session_id = "visit"
event_time = { column = "at", format = "s" }
event = "what"
page = "page"
price = "price"
member = "member"
"""


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
