"""Logs in which DuckDB and Python could read two things: what is read is what the mapping in TOML says, or
the row is refused, or the log.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clickstream.features.shop import shop_of
from clickstream.features.shop_file import read_definition
from clickstream.files.history import ClickBuckets, open_clicks
from clickstream.infra.errors import InputError

SHOP = shop_of(
    read_definition(
        b"""
name = "t"
[fields]
product = { type = "text", optional = true }
[goal]
when = 'product == "buy"'
[features]
clicks = { count = true }
""",
        "shop.toml",
    )
)
TOML = '[clicks]\nsession_id = "s"\nevent_time = { column = "t", timezone = "UTC" }\nproduct = "p"\n'
SQL = "SELECT s AS session_id, t AS event_time, p AS product, filename FROM log"
AT = "2026-03-02T10:00:00Z"


def opened(tmp_path: Path, *logs: Path, mapping: str = TOML) -> ClickBuckets:
    said = tmp_path / f"mapping.{'sql' if mapping.startswith('SELECT') else 'toml'}"
    said.write_text(mapping)
    return open_clicks(logs, SHOP, said, work=tmp_path / "work", memory_mib=512, buckets=1)


def sessions_of(found: ClickBuckets) -> list[str]:
    return [row["session_id"] for batch in found.all_batches() for row in batch.to_pylist()]


def refused(found: ClickBuckets) -> list[tuple[int | None, str]]:
    assert found.rows == found.kept + found.left_out + found.refused.count
    return [(one.line, one.reason) for one in found.refused.examples]


def lines(tmp_path: Path, *rows: str | dict[str, Any], name: str = "log.jsonl") -> Path:
    path = tmp_path / name
    texts = (one if isinstance(one, str) else json.dumps({"t": AT} | one, ensure_ascii=False) for one in rows)
    path.write_text("\n".join(texts) + "\n")
    return path


def parquet(tmp_path: Path, name: str = "log", **columns: Any) -> Path:
    path = tmp_path / f"{name}.parquet"
    columns = {"s": ["a", "b"], "t": [datetime(2026, 3, 2, 10)] * 2, "p": ["x", "y"]} | columns
    pq.write_table(pa.table({key: column for key, column in columns.items() if column is not None}), path)
    return path


@pytest.mark.parametrize("condition", ["", " WHERE p = 'x'"])
def test_lines_of_json_that_a_select_does_not_see_are_counted(tmp_path: Path, condition: str) -> None:
    good = {"s": "a", "p": "x", "list": [{"k": 1}]}
    twice = f'{{"s":"a","t":"{AT}","p":"x","s":"b"}}'
    inside = f'{{"s":"a","t":"{AT}","p":"x","list":[{{"k":1,"k":2}}]}}'
    long = {"s": "y" * 1_100_000}
    half = f'{{"s":"a","t":"{AT}","p":"x","z":"\\ud800"}}'
    log = lines(tmp_path, good, '{"s":', good, "[1]", twice, inside, long, half)
    found = opened(tmp_path, log, mapping=SQL + condition)
    assert found.kept == 2
    assert refused(found) == [(line, "text") for line in range(2, 9) if line != 3]
    details = " ".join(one.detail for one in found.refused.examples)
    for said in (
        "not JSON",
        "not a JSON object",
        "'s' stands in it twice",
        "'k' stands",
        "1,048,576",
        "half",
    ):
        assert said in details


def test_keys_that_differ_by_case_alone_are_not_mixed_up(tmp_path: Path) -> None:
    log = lines(tmp_path, {"S": "zz", "s": "a", "p": "x"})
    assert sessions_of(opened(tmp_path, log)) == ["a"]
    csv = lines(tmp_path, "S,s,t,p", f"zz,a,{AT},x", name="log.csv")
    inside = lines(tmp_path, {"s": "a", "p": "x", "in": [{"Q": 1, "q": 2}]}, name="inside.jsonl")
    for path, said in ((log, "'S' and 's'"), (csv, "'S' and 's'"), (inside, "'Q' and 'q'")):
        with pytest.raises(InputError, match=f"{said}, which SQL does not tell apart"):
            opened(tmp_path, path, mapping=SQL)
    # Beyond the rows by which columns are found a key in other letters is another key.
    later = lines(tmp_path, *[{"s": "a", "p": "x"}] * 30_000, {"S": "zz", "p": "x"}, name="later.jsonl")
    assert refused(opened(tmp_path, later, mapping=SQL)) == [(None, "session_id")]


def test_what_ends_a_line_for_python_alone_ends_none(tmp_path: Path) -> None:
    log = lines(tmp_path, {"s": "a\u2028b\x85", "p": "x"})
    assert sessions_of(opened(tmp_path, log, mapping=SQL)) == ["a\u2028b\x85"]


def test_ids_of_parquet_files_of_several_types_stay_apart(tmp_path: Path) -> None:
    whole = parquet(tmp_path, "whole", s=[2**53 + 1, 2**53])
    others = parquet(tmp_path, "others", s=[2.0**53, 7.0])
    found = sessions_of(opened(tmp_path, whole, others))
    assert found == ["7", "9007199254740992", "9007199254740992.0", "9007199254740993"]
    with pytest.raises(InputError, match=r"the column s is DOUBLE in others\.parquet and BIGINT in whole"):
        opened(tmp_path, others, whole, mapping=SQL)
    with pytest.raises(InputError, match=r"lacks\.parquet lacks the columns p of the mapping"):
        opened(tmp_path, whole, parquet(tmp_path, "lacks", p=None))


def test_a_value_of_parquet_that_no_click_can_have_refuses_its_row(tmp_path: Path) -> None:
    out_of_range = pa.array([-(2**63), 1_772_445_600_000_000], pa.int64()).cast(pa.timestamp("us"))
    for columns, by_toml, by_sql in (
        ({"t": out_of_range}, "t", "event_time"),
        ({"t": pa.array([2**31 - 1, 20_000], pa.int32()).cast(pa.date32())}, "t", "event_time"),
        ({"s": [b"\xff", b"a"]}, "s", "session_id"),
        ({"p": [b"\xff", b"a"]}, "p", "product"),
    ):
        log = parquet(tmp_path, **columns)
        assert refused(opened(tmp_path, log)) == [(1, by_toml)]
        assert refused(opened(tmp_path, log, mapping=SQL)) == [(None, by_sql)]
    zone = TOML.replace("UTC", "Europe/Warsaw")
    assert refused(opened(tmp_path, parquet(tmp_path, t=out_of_range), mapping=zone)) == [(1, "t")]


def test_a_log_may_have_columns_that_are_called_as_ours(tmp_path: Path) -> None:
    log = parquet(tmp_path, s=["a", ""], Filename=["f", "f"], file_row_number=[8, 8], line=["x", "y"])
    for mapping in (TOML, SQL, SQL.replace("filename", "filename, line")):
        (one,) = opened(tmp_path, log, mapping=mapping).refused.examples
        assert (one.file, one.line) == ("log.parquet", None)
    of_json = lines(tmp_path, {"s": "", "p": "x", "filename": "other"}, {"s": "a", "p": "x"})
    (one,) = opened(tmp_path, of_json, mapping=SQL).refused.examples
    assert one.file == "log.jsonl"
    named = opened(tmp_path, of_json, mapping=SQL.replace("p AS product", "filename AS product"))
    assert named.kept == 1


def test_a_nul_in_a_field_refuses_the_row_of_any_format(tmp_path: Path) -> None:
    csv = lines(tmp_path, "s,t,p", f"a\0,{AT},x", f"b,{AT},x", name="log.csv")
    objects = lines(tmp_path, {"s": "a\0", "p": "x"}, {"s": "b", "p": "x"})
    for log in (csv, objects, parquet(tmp_path, s=["a\0", "b"])):
        for mapping in (TOML, SQL):
            found = opened(tmp_path, log, mapping=mapping)
            assert (sessions_of(found), found.refused.count) == (["b"], 1)


def test_a_time_of_a_zone_is_the_same_to_duckdb_and_to_the_judge(tmp_path: Path) -> None:
    """Of a fraction of one digit the judge alone has the word."""
    days = [datetime(2026, 9, 1, 12) + timedelta(days=day) for day in range(0, 2_000, 3)]
    mapping = TOML.replace("UTC", "Africa/Casablanca")
    found = []
    for fraction in ("", ".0"):
        log = lines(
            tmp_path, "s,t,p", *(f"a,{at:%Y-%m-%dT%H:%M:%S}{fraction},x" for at in days), name="l.csv"
        )
        batches = opened(tmp_path, log, mapping=mapping).all_batches()
        found.append([ms for batch in batches for ms in batch["event_time"].to_pylist()])
    assert found[0] == found[1]
    assert len(found[0]) == len(days)


def test_the_zone_of_a_machine_is_no_zone_of_a_mapping(tmp_path: Path) -> None:
    log = lines(tmp_path, {"s": "a", "p": "x"})
    with pytest.raises(InputError, match="is no time zone such as UTC or Europe/Warsaw"):
        opened(tmp_path, log, mapping=TOML.replace("UTC", "localtime"))
