"""Page *Score a file*: its figures are those of `clickstream score` for the same file and bundle."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from dashboard_pages import Upload, clicks, first_sessions, sessions, shown, words
from streamlit.testing.v1 import AppTest

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.dashboard.results import MOST_KEPT, Results, ScoredFile
from clickstream.dashboard.table import written
from clickstream.features.shop import UCI553
from clickstream.files.dataset import read_dataset
from clickstream.infra.settings import Settings
from clickstream.offline.scoring import score_file
from clickstream.records.scorers import SCORERS

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-clicks"


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def test_a_whole_file_gives_what_the_command_gives(
    upload: Upload, shop_file: Path, synthetic_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sessions.csv"
    command = subprocess.run(
        [
            sys.executable,
            "-m",
            "clickstream",
            "score",
            shop_file,
            "--out",
            out,
            "--bundle",
            synthetic_bundle,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    page = upload(shop_file.read_bytes(), shop_file.name)

    expected = pd.read_csv(out, dtype={"session_id": str})
    shown, figures = sessions(page), metrics(page)
    rows = f"{len(read_dataset(shop_file)):,}"
    assert (figures["Rows read"], figures["Kept"], figures["Refused"]) == (rows, rows, "0")
    assert len(shown) == len(expected) == 24_026
    assert shown["session_id"].tolist() == expected["session_id"].tolist()
    assert shown["clicks"].tolist() == expected["clicks"].tolist()
    for scorer in SCORERS:
        for name, factor in (("conversion", 100), ("revenue", 1)):
            column = f"{scorer}_{name}"
            assert shown[column].tolist() == [factor * value for value in expected[column]], column
        mean = expected[f"{scorer}_conversion"].mean()
        assert figures[f"Average conversion probability · {scorer}"] == f"{mean:.1%}"
        assert f"{mean:.3f}" in command.stderr
        mean = expected[f"{scorer}_revenue"].mean()
        assert figures[f"Average predicted revenue · {scorer}"] == f"${mean:.2f}"
        most_common = expected[f"{scorer}_cluster_name"].mode()[0]
        # The published work stands apart, and has the clusters of batch.
        assert figures.get(f"Most common cluster · {scorer}") in (
            (None,) if scorer == "reference" else (most_common,)
        )


def test_filters_leave_the_sessions_that_pass_in_table_and_download(
    upload: Upload, few_sessions: bytes
) -> None:
    page = upload(few_sessions)
    whole = sessions(page)
    next(one for one in page.multiselect if one.label == "Cluster").set_value(["long", "short_premium"])
    page.slider(key="conversion").set_value((40, 60))
    next(one for one in page.slider if one.label == "Clicks").set_value((2, 30))
    page.run()
    shown = sessions(page)
    passes = (
        whole["batch_cluster_name"].isin(["long", "short_premium"])
        & whole["batch_conversion"].between(40, 60)
        & whole["clicks"].between(2, 30)
    )
    assert 0 < passes.sum() < len(whole)
    assert shown["session_id"].tolist() == whole["session_id"][passes].tolist()
    assert any(f"{passes.sum()} of 300 sessions" in caption.value for caption in page.caption)

    page.text_input(key="contains").set_value("no such session").run()
    assert any("No session passes" in text.value for text in page.markdown)


def test_a_download_has_the_sessions_that_pass(
    few_sessions: bytes, bundle: Bundle, settings_of: Settings
) -> None:
    scores = score_file(few_sessions, bundle=bundle, settings=settings_of)
    result = ScoredFile(scores, pd.DataFrame(scores.sessions.columns), "$", UCI553)
    places = [3, 14, 15]
    csv = pd.read_csv(io.BytesIO(written(result, places, "csv")), dtype={"session_id": str})
    lines = pd.read_json(io.BytesIO(written(result, places, "jsonl")), lines=True, dtype={"session_id": str})
    parquet = pd.read_parquet(io.BytesIO(written(result, places, "parquet")))
    expected = result.frame.loc[places]
    for read in (csv, lines, parquet):
        assert read["session_id"].tolist() == expected["session_id"].tolist()
        assert read["online_conversion"].tolist() == pytest.approx(
            expected["online_conversion"].tolist(), abs=1e-12
        )
    assert len(pd.read_csv(io.BytesIO(written(result, None, "csv")))) == 300


def test_a_session_is_told_click_by_click_up_to_what_the_table_says(
    upload: Upload, few_sessions: bytes
) -> None:
    page = upload(few_sessions)
    page.text_input(key="contains").set_value("17").run()
    row = sessions(page).iloc[0]
    told = clicks(page)
    assert told["click"].tolist() == list(range(1, row["clicks"] + 1))
    assert f"{row['session_id']} · {row['day']:%Y-%m-%d} · {row['clicks']} clicks" in words(page)
    for scorer in SCORERS:
        assert told[f"conv. {scorer}"].iloc[-1] == row[f"{scorer}_conversion"], scorer


def test_the_cleaning_report_says_how_many_rows_were_refused_and_why(
    upload: Upload, few_sessions: bytes
) -> None:
    lines = few_sessions.split(b"\n")
    third = lines[2].split(b";")
    third[lines[0].split(b";").index(b"price")] = b"cheap"
    lines[2] = b";".join(third)
    lines[4] = b"2008;4;1"
    page = upload(b"\n".join(lines))
    figures = metrics(page)
    assert figures["Refused"] == "2"
    reasons, refused, *_ = (shown.value for shown in page.dataframe)
    assert dict(zip(reasons["reason"], reasons["rows"], strict=True)) == {"price": 1, "fields": 1}
    assert refused["line"].tolist() == [3, 5]
    assert "cheap" in refused["detail"][0]


def test_averages_of_a_file_whose_products_the_models_do_not_know_are_withheld_with_the_reason(
    upload: Upload,
) -> None:
    mapping = (EXAMPLE / "mapping.toml").read_bytes()
    page = upload((EXAMPLE / "clicks.csv").read_bytes(), mapping=mapping)
    figures = metrics(page)
    assert int(figures["Skipped by the mapping"]) > 0
    assert not any("conversion" in label or "revenue" in label for label in figures)
    (withheld,) = (warning.value for warning in page.warning)
    assert "Averages are withheld" in withheld
    assert "do not know" in withheld
    assert len(sessions(page)) > 0


def test_the_example_is_one_press_away(page: AppTest) -> None:
    page.toggle(key="example").set_value(True).run()
    assert not page.exception
    assert metrics(page)["Rows read"] == f"{len((EXAMPLE / 'clicks.csv').read_text().splitlines()) - 1}"


def test_a_wrong_mapping_is_told_with_the_key(upload: Upload, few_sessions: bytes) -> None:
    page = upload(few_sessions, mapping=b"[clicks]\nsession = 'a'\n")
    assert "mapping.toml is not a mapping" in words(page)
    assert page.error[0].value == "**This did not work**"


def test_without_models_the_page_says_how_to_make_some() -> None:
    page = shown("score")
    assert any("`clickstream train`" in text.value for text in page.markdown)
    assert not page.file_uploader


def test_a_damaged_bundle_is_told_and_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLICKSTREAM_BUNDLE", str(tmp_path))
    page = shown("score")
    assert page.error
    assert "manifest.json" in words(page)


def test_a_tab_keeps_one_result_and_the_process_few(
    few_sessions: bytes, bundle: Bundle, settings_of: Settings
) -> None:
    kept = Results()
    scores = score_file(few_sessions, bundle=bundle, settings=settings_of)
    for number in range(MOST_KEPT + 2):
        kept.make(f"upload {number}", lambda: scores, "$", UCI553)
    assert [kept.get(f"upload {number}") is not None for number in range(MOST_KEPT + 2)] == [False] * 2 + [
        True
    ] * 3
    kept.drop("upload 4")
    assert kept.get("upload 4") is None


@pytest.fixture
def settings_of(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def bundle(synthetic_bundle: Path) -> Bundle:
    return load_bundle(synthetic_bundle.parent, synthetic_bundle)


def test_what_was_scored_survives_a_change_of_page_until_it_is_taken_away(
    upload: Upload, few_sessions: bytes, shop_file: Path
) -> None:
    page = upload(few_sessions, "few.csv")
    page.text_input(key="contains").set_value("17").run()
    passing = len(sessions(page))
    assert 0 < passing < 300
    page.session_state["page"] = "definition"
    page.run()
    assert not page.metric
    page.session_state["page"] = "score"
    page.run()
    assert not page.exception, page.exception
    assert "few.csv, given before" in words(page)
    assert metrics(page)["Kept"] == f"{len(few_sessions.splitlines()) - 1:,}"
    assert len(sessions(page)) == passing, "the filters stay, too"

    page = upload(first_sessions(shop_file, 5), "fewer.csv")
    page.text_input(key="contains").set_value("").run()
    assert len(sessions(page)) == 5, "another file takes its place, with fewer clicks in a session"
    page.session_state["page"] = "definition"
    page.run()
    page.session_state["page"] = "score"
    page.run()
    page.button(key="take-away-file").click().run()
    assert not page.metric
