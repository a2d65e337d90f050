"""Scored sessions on disk: CSV that no spreadsheet runs, JSON lines, Parquet with its types."""

from __future__ import annotations

import csv
import datetime
import io
import json
from typing import Any

import pyarrow.parquet
import pytest

from clickstream.features.shop import UCI553
from clickstream.features.vector import REFERENCE
from clickstream.files.cleaning import CleaningReport, RefusedRow
from clickstream.infra.errors import ConfigurationError
from clickstream.offline.sessions import Sessions, columns_of
from clickstream.offline.writing import as_bytes, cell, require, write_refused
from clickstream.records.scorers import SCORERS

COLUMNS = columns_of(UCI553)
FORMULA = '=HYPERLINK("http://x";"y")'


def sessions(*ids: str, has_times: bool = True) -> Sessions:
    found = Sessions(UCI553)
    prediction = {"conversion": 0.25, "revenue": 40.5, "cluster": 1, "cluster_name": "long"}
    for session_id in ids:
        features: dict[str, Any] = dict.fromkeys(REFERENCE.features, 1)
        features |= {"first_category": "-sale", "last_category": "<b>x</b>", "mean_price": 38.5}
        score = {
            "session_id": session_id,
            "opened_at": 1_772_445_600_250,
            "last_click_at": 1_772_445_700_000,
            "closed_by": "gap",
            **dict.fromkeys(("clicks", "duplicates", "late", "missing", "evidence"), 2),
            "features": features,
            "predictions": dict.fromkeys(SCORERS, prediction) | {"reference": None},
            "outcome": {"converted": True, "revenue": -0.0},
            "error": None,
        }
        found.add(score, datetime.date(2026, 3, 2), has_times)
    return found


def test_csv_has_a_header_and_numbers_stay_numbers() -> None:
    (line,) = csv.DictReader(io.StringIO(as_bytes(sessions("a"), "csv").decode()))
    assert list(line) == list(COLUMNS)
    assert (line["session_id"], line["clicks"], line["batch_conversion"]) == ("a", "2", "0.25")
    assert (line["day"], line["converted"], line["error"]) == ("2026-03-02", "true", "")
    assert line["reference_conversion"] == ""
    assert line["revenue"] == "-0.0"


@pytest.mark.parametrize("text", [FORMULA, "+1", "-2+3", "@SUM(A1)", "\tx", "\rx"])
def test_what_a_spreadsheet_would_run_is_written_as_text(text: str) -> None:
    (line,) = csv.DictReader(io.StringIO(as_bytes(sessions(text), "csv").decode(), newline=""))
    assert line["session_id"] == "'" + text
    assert line["first_category"] == "'-sale"


@pytest.mark.parametrize("value", ["a=b", "x", "", -1.5, -3, None])
def test_other_cells_stay_as_they_are(value: object) -> None:
    assert cell(value) == value


def test_json_lines_say_exactly_what_is_there() -> None:
    lines = as_bytes(sessions(FORMULA, "b"), "jsonl").splitlines()
    first = json.loads(lines[0])
    assert len(lines) == 2
    assert first["session_id"] == FORMULA
    assert first["last_category"] == "<b>x</b>"
    assert first["opened_at"] == 1_772_445_600_250
    assert first["reference_conversion"] is None


@pytest.mark.parametrize("has_times", [True, False])
def test_parquet_has_the_types_of_the_columns(has_times: bool) -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(as_bytes(sessions("a", has_times=has_times), "parquet")))
    assert table.column_names == list(COLUMNS)
    kinds = {name: str(table.schema.field(name).type) for name in COLUMNS}
    assert kinds["day"] == "date32[day]"
    assert kinds["opened_at"] == "timestamp[ms, tz=UTC]"
    assert kinds["batch_conversion"] == "double"
    assert kinds["clicks"] == "int64"
    assert kinds["converted"] == "bool"
    assert kinds["error"] == "string"
    (line,) = table.to_pylist()
    assert (line["opened_at"] is not None) == has_times


def test_without_pyarrow_it_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    require("csv")
    with pytest.raises(ConfigurationError, match="pyarrow") as error:
        as_bytes(sessions("a"), "parquet")
    assert "[dashboard]" in error.value.remedy


def test_refused_rows_are_written_with_line_and_reason() -> None:
    rows = (RefusedRow(3, "price", "'x', not a number", "=1;x"), RefusedRow(9, "text", "a NUL character", ""))
    stream = io.BytesIO()
    write_refused(CleaningReport("f", "utf-8", ";", 9, 7, 0, rows), stream)
    found = list(csv.reader(io.StringIO(stream.getvalue().decode())))
    assert found == [
        ["line", "reason", "detail", "text"],
        ["3", "price", "'x', not a number", "'=1;x"],
        ["9", "text", "a NUL character", ""],
    ]
