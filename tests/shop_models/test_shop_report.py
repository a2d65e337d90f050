"""Report and model card of any shop: all that training found, in the words of the shop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from report.page import Page

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.manifest import REPORTS
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop_file import built_in, read_definition
from clickstream.models.shop.evaluation import ShopEvaluation
from clickstream.models.shop.inputs import ShopInputs
from clickstream.report.shop_report import render_shop_card, render_shop_report
from clickstream.training.writing import FittedShop

HOSTILE = '<script>alert("x")</script> & {{ 7 * 7 }} | `code` **bold** [a](javascript:b) \x00\x1b[31m'

PROXY = """
name = "ferns"
[fields]
price = { type = "number" }
[goal]
last_click = "price > 10"
[features]
clicks = { count = true }
"""

NOTHING = ShopInputs(numbers=[], texts={}, limits=[], spending=None)


@pytest.fixture(scope="module")
def report(bundle: Bundle) -> str:
    return (bundle.path / "report.html").read_text()


@pytest.fixture(scope="module")
def page(report: str) -> Page:
    return Page(report)


def without_revenue(evaluation: ShopEvaluation) -> ShopEvaluation:
    """As of a shop whose goal has no value."""
    figures = {
        scorer: {name: one for name, one in of.items() if name not in ("r2", "mae")}
        for scorer, of in evaluation.figures.items()
    }
    importances = {"batch conversion": evaluation.importances["batch conversion"]}
    return evaluation.model_copy(update={"figures": figures, "importances": importances})


def test_a_bundle_carries_both_and_answers_for_them(bundle: Bundle) -> None:
    assert set(REPORTS) <= set(bundle.manifest.files)


def test_all_that_was_found_is_shown_in_full_precision(page: Page, fitted: FittedShop) -> None:
    found = fitted.evaluation
    assert page.cells == {
        (scorer, name): [one.value] if one.low == one.high else [one.value, one.low, one.high]
        for scorer, of in found.beside().items()
        for name, one in of.items()
    }
    seen = page.numbers["seen-table"]
    for one in found.by_seen:
        assert one.sessions in seen
        assert one.auc is None or {one.auc.value, one.auc.low, one.auc.high} <= set(seen)
    assert page.numbers["reliability-table"] == [
        number
        for bins in found.reliability.values()
        for row in zip(bins.forecast, bins.observed, bins.sessions, strict=True)
        for number in row
    ]
    assert page.numbers["importances-table"] == [
        number for of in found.importances.values() for one in of.inputs for number in (one.mean, one.sd)
    ]
    assert "Of 100 pairs of moments, batch ranks" in page.words
    most = found.importances["batch conversion"].inputs[0].feature
    assert f"batch conversion: {most} matters most" in page.words
    for cluster in found.clusters:
        assert {cluster.converted, cluster.revenue, *cluster.centre.values()} <= set(
            page.numbers["clusters-table"]
        )
        assert cluster.name in page.words
    assert page.numbers["trials-table"] == [value for one in found.trials for value in (one.mean, one.sd)]
    assert f"It is {found.shuffled:.3f}." in page.words


def test_it_speaks_the_words_of_the_shop(page: Page, fitted: FittedShop) -> None:
    shop = fitted.shop
    assert f"Models of shop {shop.name}" in page.words
    assert f"base rate in training {100 * fitted.contents.base_rates.conversion:.1f}" in page.words
    assert shop.currency is not None
    assert f"{fitted.contents.base_rates.revenue:,.2f}\N{NO-BREAK SPACE}{shop.currency}" in " ".join(
        page.text
    )
    assert all(feature.name in page.words for feature in shop.features)
    for name, known in fitted.inputs.texts.items():
        assert f"{name} text {len(known):,} texts: {known[0]}" in page.words


def test_it_needs_no_network_and_runs_nothing(report: str, page: Page) -> None:
    assert page.open == []
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    assert {str(given["href"])[1:] for tag, given in page.tags if tag == "a"} <= set(ids)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "embed"}
    assert "@import" not in report


def test_what_a_shop_does_not_have_is_not_spoken_of(bundle: Bundle, fitted: FittedShop) -> None:
    """No value, no currency, and never the published work on another shop's data."""
    shop = built_in("online-store")
    rates = bundle.manifest.base_rates.model_copy(update={"revenue": None})
    manifest = bundle.manifest.model_copy(update={"base_rates": rates})
    shown = (manifest, without_revenue(fitted.evaluation), shop, NOTHING)
    page, card = Page(render_shop_report(*shown)), render_shop_card(*shown)
    for words in (page.words, card):
        for other in ("revenue", "currency", "proxy", "published", "reference", "US dollars", "UCI"):
            assert other not in words
        assert 'A click where event == "purchase" converts its session.' in words.replace("\\", "")


def test_a_proxy_is_called_one(bundle: Bundle, fitted: FittedShop) -> None:
    shop = read_definition(PROXY.encode(), "ferns.toml")
    manifest = bundle.manifest.model_copy(update={"label_source": "proxy"})
    shown = (manifest, without_revenue(fitted.evaluation), shop, NOTHING)
    for words in (Page(render_shop_report(*shown)).words, render_shop_card(*shown)):
        assert "The goal is a proxy, a rule over the last click." in words
        assert "this rule stands for it" in words
        assert "before the last click" in words


def test_few_examples_are_said_before_anything_else(bundle: Bundle, fitted: FittedShop) -> None:
    note = "few examples: 19 sessions to train on meet the goal"
    evaluation = fitted.evaluation.model_copy(update={"notes": [note]})
    shown = (bundle.manifest, evaluation, fitted.shop, fitted.inputs)
    words = Page(render_shop_report(*shown)).words
    assert words.index(f"F{note[1:]}") < words.index("ROC-AUC of batch")
    assert note in render_shop_card(*shown)
    rarer = min(evaluation.held_out.converted, evaluation.held_out.sessions - evaluation.held_out.converted)
    assert f"The rarer kind of held-out session has {rarer:,} examples" in words


def test_strings_of_a_shop_are_shown_and_never_taken_for_markup(bundle: Bundle, fitted: FittedShop) -> None:
    clusters = [one.model_copy(update={"name": HOSTILE}) for one in fitted.evaluation.clusters]
    evaluation = fitted.evaluation.model_copy(update={"clusters": clusters, "notes": [HOSTILE]})
    texts = {name: [HOSTILE, *known] for name, known in fitted.inputs.texts.items()}
    shown: tuple[ShopEvaluation, ShopDefinition, ShopInputs] = (
        evaluation,
        replace(fitted.shop, currency=HOSTILE),
        fitted.inputs.model_copy(update={"texts": texts}),
    )
    page = Page(render_shop_report(bundle.manifest, *shown))
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert "{{ 7 * 7 }}" in page.words
    tokens = MarkdownIt().enable("table").parse(render_shop_card(bundle.manifest, *shown))
    inner = [child for one in tokens for child in one.children or []]
    assert not [one for one in tokens if one.type == "html_block"]
    assert {one.type for one in inner} <= {"text", "softbreak", "strong_open", "strong_close", "code_inline"}
    assert {one.content for one in inner if one.type == "code_inline"} == {"clickstream train", "report.html"}


def test_the_same_training_gives_the_same_text(bundle: Bundle, fitted: FittedShop, report: str) -> None:
    shown = (bundle.manifest, fitted.evaluation, fitted.shop, fitted.inputs)
    assert render_shop_report(*shown) == report
    assert render_shop_card(*shown) == (Path(bundle.path) / "model_card.md").read_text()
