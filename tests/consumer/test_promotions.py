"""When a running consumer looks for a promoted bundle, and what it does with one that it cannot use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.champion import promote
from clickstream.consumer import promotion
from clickstream.consumer.promotion import Promotions
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings

FIRST, SECOND, THIRD = (f"20080401T00000{n}Z-0000000{n}" for n in (1, 2, 3))


@dataclass
class Loaded:
    """A bundle as far as it is needed here."""

    id: str

    def online(self) -> None:
        """It has a warm start."""


@dataclass
class Shelf:
    """Bundles in a folder, of which some cannot be used, and a clock."""

    settings: Settings
    broken: set[str] = field(default_factory=set)
    loads: list[str] = field(default_factory=list)
    now: float = 100.0

    def load(self, _: Settings, name: str) -> Loaded:
        self.loads.append(name)
        if name in self.broken:
            raise BundleError(f"{name} is foreign", "Train again.")
        return Loaded(name)

    def promote(self, name: str) -> None:
        folder = self.settings.bundles / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").touch()
        promote(self.settings.bundles, name)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    shelf = Shelf(Settings(home=tmp_path))
    monkeypatch.setattr(promotion, "load_bundle", shelf.load)
    shelf.promote(FIRST)
    return shelf


def following(shelf: Shelf) -> Promotions:
    return Promotions(shelf.settings, lambda: shelf.now)


def look(promotions: Promotions, shelf: Shelf, current: str = FIRST, after_s: float = 1.0) -> str | None:
    """The bundle that is found after some seconds."""
    shelf.now += after_s
    found = promotions.newer_than(cast(Bundle, Loaded(current)))
    return None if found is None else found.id


def test_a_promoted_bundle_is_found_once_a_second(shelf: Shelf) -> None:
    promotions = following(shelf)
    assert look(promotions, shelf) is None
    shelf.promote(SECOND)
    assert look(promotions, shelf, after_s=0.5) is None
    assert look(promotions, shelf, after_s=0.5) == SECOND
    assert look(promotions, shelf, SECOND) is None
    assert shelf.loads == [SECOND]


def test_one_promoted_while_the_consumer_started_is_found(shelf: Shelf) -> None:
    shelf.promote(SECOND)
    assert look(following(shelf), shelf, FIRST, after_s=0.0) == SECOND


def test_a_consumer_of_a_named_bundle_follows_nothing(shelf: Shelf) -> None:
    named = shelf.settings.model_copy(update={"bundle": FIRST})
    shelf.promote(SECOND)
    assert look(Promotions(named, lambda: shelf.now), shelf) is None


def test_one_that_cannot_be_used_is_told_once_tried_again_and_taken_when_put_right(shelf: Shelf) -> None:
    promotions = following(shelf)
    shelf.broken.add(SECOND)
    shelf.promote(SECOND)
    with capture_logs() as told:
        for _ in range(100):
            assert look(promotions, shelf) is None
    (line,) = told
    assert (line["log_level"], line["stays"], line["error"]) == ("error", FIRST, f"{SECOND} is foreign")
    assert line["remedy"] == "Train again."
    assert shelf.loads == [SECOND] * 4
    shelf.broken.clear()
    assert look(promotions, shelf, after_s=30.0) == SECOND


def test_after_one_that_cannot_be_used_the_next_is_taken_at_once(shelf: Shelf) -> None:
    promotions = following(shelf)
    shelf.broken.add(SECOND)
    shelf.promote(SECOND)
    assert look(promotions, shelf) is None
    shelf.promote(THIRD)
    assert look(promotions, shelf) == THIRD


@pytest.mark.parametrize("content", [b"", b"\xff", b"../../elsewhere"])
def test_a_damaged_file_changes_nothing(shelf: Shelf, content: bytes) -> None:
    promotions = following(shelf)
    (shelf.settings.bundles / "champion").write_bytes(content)
    with capture_logs() as told:
        assert look(promotions, shelf) is None
        assert look(promotions, shelf) is None
    assert [line["event"] for line in told] == ["promoted bundle not taken"]
    assert shelf.loads == []


def test_a_file_that_is_gone_changes_nothing(shelf: Shelf) -> None:
    promotions = following(shelf)
    assert look(promotions, shelf) is None
    (shelf.settings.bundles / "champion").unlink()
    with capture_logs() as told:
        assert look(promotions, shelf) is None
    assert "no bundle is in use" in told[0]["error"]
