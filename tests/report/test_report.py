"""The report and the model card: they show the evaluation, all of it, and nothing else."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from functools import cache
from typing import Any

import matplotlib
import pytest
from markdown_it import MarkdownIt

from clickstream.features.vector import DEFINITIONS
from clickstream.files.dataset import UCI_SHA256
from clickstream.models.evaluation import Estimate, Evaluation, Importance, Importances, TuningTrial
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.report import wording
from clickstream.report.card import render_card
from clickstream.report.plots.canvas import DARK, LIGHT
from clickstream.report.report import render_report
from report.judged import evaluation, manifest
from report.page import Page

BARE: dict[str, Any] = {
    "by_seen": [],
    "roc": {},
    "reliability": {},
    "revenue": {},
    "importances": {},
    "shuffled": {},
    "choice_of_k": [],
    "clusters": [],
    "matching": None,
}
"""Without what has plots or tables of its own, so that little is drawn."""

HOSTILE = '<script>alert("x")</script> & {{ 7 * 7 }} | `code` **bold** [a](javascript:b) $x$ _e_ # h'


DATASET = manifest()
DRAWN = manifest(name=synthetic_dataset(1).name, sha256="0" * 64)
OWN = manifest(name="topic clicks", sha256="1" * 64)


@cache
def rendered(data: str) -> str:
    """The report of models trained on `data`; drawing its plots takes a second."""
    return render_report({"dataset": DATASET, "drawn": DRAWN, "own": OWN}[data], evaluation())


@pytest.fixture
def report() -> str:
    return rendered("dataset")


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(rendered("dataset"))


def shown(estimate: Estimate) -> list[float]:
    alone = estimate.low == estimate.high
    return [estimate.value] if alone else [estimate.value, estimate.low, estimate.high]


def test_the_table_of_figures_is_the_evaluation_in_full_precision(page: Page) -> None:
    expected = {
        (scorer, name): shown(estimate)
        for scorer, figures in evaluation().figures.items()
        for name, estimate in figures.items()
    }
    assert page.cells == expected


def test_the_other_tables_show_the_evaluation_too(page: Page) -> None:
    found = evaluation()
    assert page.numbers["published-table"] == [one.measured for one in found.published]
    assert page.numbers["seen-table"] == [
        number
        for one in found.by_seen
        for estimate in (one.auc, one.r2)
        if estimate is not None
        for number in shown(estimate)
    ]
    assert page.numbers["k-table"] == [
        number for one in found.choice_of_k for number in (one.silhouette, one.davies_bouldin, one.inertia)
    ]
    batch = found.figures["batch"]
    assert page.numbers["leakage-table"] == [
        number for name, value in found.shuffled.items() for number in (*shown(batch[name]), value)
    ]
    for cluster in found.clusters:
        assert {cluster.converted, cluster.revenue, *cluster.centre.values()} <= set(
            page.numbers["clusters-table"]
        )


def test_a_figure_is_printed_as_its_value_rounded(report: str) -> None:
    for value, text in re.findall(r'<data value="([^"]*)">([^<]*)</data>', report):
        places = len(text.partition(".")[2])
        assert text == wording.number(float(value), places)
        assert places >= 2 or abs(float(value)) > 100


def test_the_page_is_well_formed_and_its_ids_are_unique(page: Page) -> None:
    assert page.open == []
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    anchors = {str(given["href"])[1:] for tag, given in page.tags if tag == "a"}
    assert anchors <= set(ids)


def test_nothing_is_loaded_and_nothing_runs(report: str, page: Page) -> None:
    for tag, given in page.tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "base", "form")
        assert not [
            name for name in given if name.startswith("on") or name in ("src", "srcset", "xlink:href")
        ]
        assert str(given.get("href") or "#").startswith("#")
    assert "@import" not in report
    assert not re.search(r"url\((?!#)", report)


def test_the_label_is_called_a_proxy_in_each_part_that_shows_it(page: Page) -> None:
    assert "proxy, not a purchase" in page.words
    assert page.words.count("proxy") > 8
    assert "proxy" in render_card(manifest(), evaluation())


def test_every_feature_is_defined(page: Page) -> None:
    assert all(f"{name} {definition}" in page.words for name, definition in DEFINITIONS.items())


def test_the_same_training_gives_the_same_text_and_leaves_no_trace_in_matplotlib(report: str) -> None:
    settings = dict(matplotlib.rcParams)
    assert render_report(manifest(), evaluation()) == report
    assert dict(matplotlib.rcParams) == settings
    assert render_card(manifest(), evaluation()) == render_card(manifest(), evaluation())


def test_published_figures_are_shown_for_the_dataset_only(page: Page) -> None:
    assert wording.PUBLISHED_DATA == UCI_SHA256
    assert "published measured here" in page.words
    assert "| 0.99 | 1.000 | 0.995 |" in render_card(DATASET, evaluation())
    for data, given in (("drawn", DRAWN), ("own", OWN)):
        words = Page(rendered(data)).words
        assert "published measured here" not in words
        assert "not comparable" in words
        assert "0.99 |" not in render_card(given, evaluation())


def test_what_was_drawn_is_called_synthetic_and_what_is_a_shops_own_is_called_so() -> None:
    for text in (rendered("drawn"), render_card(DRAWN, evaluation())):
        assert "Synthetic data." in text
        assert "drawn at random" in text
    for text in (rendered("own"), render_card(OWN, evaluation())):
        assert "Own data." in text
    for text in (rendered("dataset"), render_card(DATASET, evaluation())):
        assert "ynthetic" not in text


def test_amounts_of_another_shop_are_not_called_dollars() -> None:
    words = Page(rendered("own")).words
    assert "misses by 9.78 on average" in words
    assert "$" not in words


def hostile() -> tuple[Any, Evaluation]:
    found = evaluation()
    cluster = found.clusters[0].model_copy(update={"name": HOSTILE, "centre": {HOSTILE: 1.0}})
    return manifest(name=HOSTILE, sha256="1" * 64), evaluation(
        clusters=[cluster, *found.clusters[1:]],
        matching=found.matching and found.matching.model_copy(update={"optimal": {HOSTILE: HOSTILE}}),
        importances={
            "batch conversion": Importances(
                figure="auc", inputs=[Importance(feature=HOSTILE, mean=0.1, sd=0.01)]
            )
        },
        trials=[TuningTrial(model=HOSTILE, setting=HOSTILE, figure=HOSTILE, mean=0.6, sd=0.1, chosen=True)],
        figures=found.figures | {HOSTILE: {HOSTILE: Estimate(value=1, low=0, high=2)}},
    )


def test_strings_of_the_data_are_shown_and_never_taken_for_html() -> None:
    text = render_report(*hostile())
    page = Page(text)
    assert page.open == []
    assert "script" not in [tag for tag, _ in page.tags]
    assert page.words.count(HOSTILE) > 8
    assert html.escape(HOSTILE, quote=False) not in re.findall("<svg.*?</svg>", text, re.DOTALL)[0]


def test_strings_of_the_data_are_shown_and_never_taken_for_markdown() -> None:
    shown_as = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(render_card(*hostile()))
    page = Page(shown_as)
    tags = [tag for tag, _ in page.tags]
    harmless = Page(MarkdownIt("commonmark").enable("table").render(render_card(manifest(), evaluation())))
    assert "script" not in tags
    assert "a" not in tags
    assert tags.count("h1") == 1
    assert tags.count("strong") == [tag for tag, _ in harmless.tags].count("strong") + 1
    assert page.words.count(HOSTILE) == 4


def test_a_card_has_the_usual_sections() -> None:
    sections = re.findall(r"^## (.*)$", render_card(manifest(), evaluation()), re.MULTILINE)
    assert sections == [
        "Model details",
        "Intended use",
        "Out-of-scope use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Ethical considerations",
        "Caveats and recommendations",
    ]


def test_the_card_shows_the_figures_of_the_evaluation() -> None:
    card = render_card(manifest(), evaluation())
    assert (
        "| ROC-AUC | 0.628 (0.614 to 0.643) | 0.620 (0.605 to 0.634) | 1.000 (1.000 to 1.000) | – |" in card
    )


@pytest.mark.parametrize(
    "missing",
    [
        {"matching": None, "trials": []},
        {"clusters": [], "choice_of_k": []},
        {"clusters": evaluation().clusters[:1], "choice_of_k": evaluation().choice_of_k[:1]},
        {"by_seen": [one.model_copy(update={"auc": None, "r2": None}) for one in evaluation().by_seen]},
        BARE,
        {"figures": {}, "published": []},
        {"figures": {"batch": {"auc": Estimate(value=0.6, low=0.6, high=0.6)}}},
    ],
)
def test_what_training_did_not_find_is_left_out(missing: dict[str, Any]) -> None:
    found = evaluation(**missing)
    page = Page(render_report(manifest(), found))
    assert page.open == []
    assert ("What was tried" in page.words) == bool(found.trials)
    assert ("No other bundle was in use" in page.words) == (found.matching is None)
    assert render_card(manifest(), found).startswith("# Model card")


@pytest.mark.parametrize(
    ("figure", "best_first"), [("auc", [0.63, 0.62, 0.61]), ("rmse", [0.61, 0.62, 0.63])]
)
def test_all_that_was_tried_is_shown_with_the_best_first(figure: str, best_first: list[float]) -> None:
    tried = [
        TuningTrial(
            model="batch", setting=f"setting {mean}", figure=figure, mean=mean, sd=0.25, chosen=mean == 0.62
        )
        for mean in (0.62, 0.61, 0.63)
    ]
    page = Page(render_report(manifest(), evaluation(**BARE, trials=tried)))
    assert page.numbers[""] == [number for mean in best_first for number in (mean, 0.25)]
    assert page.words.count("setting 0.62") == 1
    assert page.words.count("0.2500 chosen") == 1


def test_plots_show_all_and_follow_the_colours_of_the_page(report: str) -> None:
    drawn = re.findall(r"<svg.*?</svg>", report, re.DOTALL)
    assert len(drawn) == 14
    for svg in drawn:
        assert 'role="img"' in svg
        bare = re.sub(r"var\(--\w+, #[0-9a-f]{6}\)", "", svg)
        assert not re.search(r"#[0-9a-f]{6}\b(?![0-9a-f\")])", bare), "a colour that the page cannot change"
    assert LIGHT.keys() == DARK.keys()


def test_a_consumer_does_not_pay_for_plots() -> None:
    code = (
        "import sys, clickstream.cli.main, clickstream.cli.consume, clickstream.consumer.engine,"
        " clickstream.bundles.bundle\n"
        "print(sorted({'matplotlib', 'jinja2'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_a_model_worse_than_the_mean_explains_nothing() -> None:
    found = evaluation(figures={"batch": {"r2": Estimate(value=-0.044, low=-0.15, high=0.04)}})
    (sentence, *_) = wording.summary(manifest(), found)
    assert "explains nothing of the variance (R² −0.044, 95 % interval −0.150 to 0.040)" in sentence
