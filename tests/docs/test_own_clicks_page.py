"""The page on your own clicks: every key of a mapping, the bounds, and the example that it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from clickstream.files.cleaning import MAX_ROWS
from clickstream.files.mapping import read_mapping, spec
from clickstream.files.source import MAX_BYTES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "own-clicks.md").read_text()
SECTION = PAGE[PAGE.index("## From a log file") : PAGE.index("## A file of UCI 553")]
EXAMPLE = ROOT / "examples" / "own-clicks" / "mapping.toml"


def test_the_mapping_shown_is_that_of_the_example() -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL)
    assert EXAMPLE.read_text().endswith(shown)
    assert read_mapping(shown.encode()) == read_mapping(EXAMPLE)


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        (spec.ClickColumns, ""),
        (spec.TextColumn, ""),
        (spec.NumberColumn, ""),
        (spec.TimeColumn, ""),
        (spec.PriceLevelColumn, ""),
        (spec.PageColumn, ""),
        (spec.RowSelection, "rows."),
        (spec.FileLayout, "file."),
    ],
)
def test_every_key_is_in_a_table(model: type[BaseModel], prefix: str) -> None:
    tables = "\n".join(line for line in SECTION.splitlines() if line.startswith("|"))
    for name in model.model_fields:
        assert f"`{prefix}{name}`" in tables, name


def test_the_bounds_are_those_of_the_reader() -> None:
    assert f"{MAX_BYTES // 2**20} MiB" in SECTION
    assert f"{MAX_ROWS:,} rows" in SECTION
