"""The pages *Live*, *Models* and *Data*, as Streamlit runs them, without servers."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from dashboard_pages import alone, first_sessions, shown, words
from shop import wait_for

from clickstream.bundles.champion import champion, promote
from clickstream.bundles.promotion_record import recorded
from clickstream.dashboard import models, theme
from clickstream.dashboard.login import Visitor
from clickstream.local.servers import announced
from clickstream.training.writing import FittedBundle, write

__all__ = ["alone"]


@pytest.fixture
def bundles(synthetic_bundle: Path, tmp_path: Path) -> tuple[str, str]:
    """Two bundles, the same but for their names' sake: the one in use, and one more that is damaged."""
    folder = tmp_path / "home" / "bundles"
    shutil.copytree(synthetic_bundle, folder / synthetic_bundle.name)
    promote(folder, synthetic_bundle.name)
    damaged = f"20200101T000000Z-{'0' * 8}"
    shutil.copytree(synthetic_bundle, folder / damaged)
    return synthetic_bundle.name, damaged


def test_without_a_bundle_models_says_how_to_get_one() -> None:
    assert any("clickstream train" in text.value for text in shown("models").markdown)


def test_models_shows_each_bundle_and_whether_it_can_be_used(bundles: tuple[str, str]) -> None:
    at = shown("models")
    rows = {row["bundle"]: row for row in at.dataframe[0].value.to_dict("records")}
    used, damaged = bundles
    assert (rows[used][""], rows[used]["usable"]) == ("in use", "yes")
    assert rows[damaged]["usable"].startswith("no: ")
    assert not at.selectbox, "a bundle that cannot be used is not offered"


def test_a_bundle_is_promoted_and_taken_back_after_a_second_step(
    bundles: tuple[str, str], synthetic_fitted: FittedBundle, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "bundles"
    # Of the same models, at a later time: another bundle.
    other = write(synthetic_fitted, folder).id
    at = shown("models")
    at.selectbox[0].select(other).run()
    at.button(key="promote").click().run()
    assert champion(folder) == bundles[0], "a click on Promote … asks first"
    at.button(key="cancel").click().run()
    at.button(key="promote").click().run()
    at.text_input(key="author").set_value("Anna")
    at.text_input(key="reason").set_value("**better** in May").run()
    at.button(key="confirm").click().run()
    assert champion(folder) == other
    at.button(key="rollback").click().run()
    at.button(key="confirm").click().run()
    assert champion(folder) == bundles[0]
    back, there, first = next(one.value for one in at.dataframe if "who" in one.value).to_dict("records")
    assert (there["who"], there["by"], there["reason"]) == ("Anna", "dashboard", "**better** in May")
    assert (there["in use since"], there["before"]) == (other, bundles[0])
    assert (back["what"], back["who"]) == ("roll back", "Anna"), "a name is asked for once"
    assert first["by"] == "command"


def test_read_only_nothing_is_promoted(bundles: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_DASHBOARD_READ_ONLY", "true")
    at = shown("models")
    assert not at.button
    assert any("Read-only" in text.value for text in at.caption)
    assert bundles[0] in at.dataframe[0].value["bundle"].tolist()


def test_a_full_disk_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/uploads")

    monkeypatch.setattr(models, "page", full)
    assert "/uploads: No space left on device\nThe disk is full" in words(shown("models"))


def test_without_the_dataset_data_says_where_to_get_it() -> None:
    assert any("CLICKSTREAM_DATA" in text.value for text in shown("explore").markdown)


def test_data_shows_the_dataset(dataset_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_DATA", str(dataset_path))
    at = shown("explore")
    assert [tile.value for tile in at.metric] == ["165,474", "24,026", "135", "4", "56.4%"]
    at.selectbox[0].select("last category").run()
    assert not at.exception


def test_without_a_broker_live_says_how_to_start_one() -> None:
    assert any("clickstream up" in text.value for text in shown("live").markdown)


def test_live_says_that_a_broker_is_away_and_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    at = shown("live")
    wait_for(lambda: bool(at.run().error), "the broker is seen to be away")
    assert any("127.0.0.1:9" in text.value for text in at.text)


def test_live_goes_on_where_servers_come_back_under_another_address(tmp_path: Path) -> None:
    at = shown("live")

    def told() -> str:
        theme.settings.clear()
        return "\n".join(text.value for text in at.run().text)

    for address in ("127.0.0.1:9", "127.0.0.1:10"):
        with announced(tmp_path / "home", address, "redis://127.0.0.1:9/0"):
            assert f"topic scores at {address}" in told()
    assert "topic scores" not in told()
    assert any("clickstream up" in text.value for text in at.markdown)


def test_data_reads_the_file_again_when_it_changed(
    shop_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "clicks.csv"
    monkeypatch.setenv("CLICKSTREAM_DATA", str(file))
    for sessions, at_s in ((20, 1_000), (30, 2_000)):
        file.write_bytes(first_sessions(shop_file, sessions))
        os.utime(file, (at_s, at_s))
        assert {tile.label: tile.value for tile in shown("explore").metric}["Sessions"] == str(sessions)


def test_a_promotion_is_recorded_with_the_name_that_was_logged_in(
    bundles: tuple[str, str],
    synthetic_fitted: FittedBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "home" / "bundles"
    other = write(synthetic_fitted, folder).id
    monkeypatch.setattr(models, "visitor", lambda _: Visitor("anna@shop.test", True))
    assert champion(folder) == bundles[0]
    at = shown("models")
    at.selectbox[0].select(other).run()
    at.button(key="promote").click().run()
    assert not [one for one in at.text_input if one.key == "author"], "nobody is asked for another name"
    at.button(key="confirm").click().run()
    (done, *_) = recorded(folder)
    assert (done.bundle_id, done.author.name) == (other, "anna@shop.test")
    assert done.author.through == "dashboard, logged in"
