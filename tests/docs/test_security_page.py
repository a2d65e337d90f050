"""The threat model names tests that there are, and what is installed is pinned as it says."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

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


def test_the_bill_of_materials_names_each_library_of_an_image_with_its_hashes(tmp_path: Path) -> None:
    # As it stands in the Makefile, but with the environment that these tests run in.
    words = ["make", "-o", ".venv/.ready", "sbom", f"BIN={Path(sys.executable).parent}", f"DIST={tmp_path}"]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    for image in ("consumer", "dashboard"):
        lock = (ROOT / "deploy" / "constraints" / f"{image}.txt").read_text()
        locked = {
            (*re.findall(r"^(\S+)==(\S+)", one)[0], frozenset(re.findall(r"sha256:(\w+)", one)))
            for one in re.split(r"\n(?=\S)", lock)
        }
        components = json.loads((tmp_path / f"{image}.cdx.json").read_bytes())["components"]
        named = {
            (
                one["name"],
                one["version"],
                frozenset(found["content"] for found in one["externalReferences"][0]["hashes"]),
            )
            for one in components
        }
        assert named == locked
        assert all(hashes for _, _, hashes in named)
