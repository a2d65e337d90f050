"""The threat model names tests that there are, and what is installed is pinned as it says."""

from __future__ import annotations

import ast
import re

import pytest
import yaml
from blocks import ROOT

from clickstream.infra.settings import unknown_variables

PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_each_door_has_a_test() -> None:
    doors = [line for line in PAGE.splitlines() if line.startswith("| **")]
    assert len(doors) >= 10
    assert all("::test_" in line for line in doors)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    assert name in {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}


def test_variables_that_are_named_are_settings() -> None:
    assert unknown_variables(re.findall(r"CLICKSTREAM_\w+", PAGE)) == []


def test_actions_are_pinned_by_commit() -> None:
    used = [
        step["uses"]
        for file in (ROOT / ".github" / "workflows").glob("*.yml")
        for job in yaml.safe_load(file.read_text())["jobs"].values()
        for step in job["steps"]
        if "uses" in step
    ]
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", one)] == []
