"""What a person sees after a training."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from clickstream.bundles.bundle import Bundle
from clickstream.models.clusters import match
from clickstream.models.evaluation import Evaluation
from clickstream.terminal.training_view import show
from clickstream.training.writing import FittedBundle


def shown(bundle: Bundle, evaluation: Evaluation, width: int = 100) -> str:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as capture:
        show(bundle.manifest, evaluation, Path("home"), console)
    return capture.get()


def test_one_screen_of_a_hundred_columns_holds_it_all(bundle: Bundle, fitted: FittedBundle) -> None:
    assert fitted.evaluation is not None
    lines = shown(bundle, fitted.evaluation).splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 100 for line in lines)
    assert "…" not in "".join(lines)


def test_a_narrow_terminal_cuts_no_figure(bundle: Bundle, fitted: FittedBundle) -> None:
    assert fitted.evaluation is not None
    estimate = fitted.evaluation.figures["batch"]["auc"]
    text = shown(bundle, fitted.evaluation, width=80)
    assert f"{estimate.low:.3f}–{estimate.high:.3f}" in text
    assert "…" not in text


def test_names_that_changed_places_are_warned_of(bundle: Bundle, fitted: FittedBundle) -> None:
    assert fitted.evaluation is not None
    here = [0] * 10 + [1] * 20 + [2] * 30 + [3] * 40
    for there, words in (
        (here, "optimal matching agrees"),
        ([{2: 3, 3: 2}.get(number, number) for number in here], "short_premium is short_budget"),
    ):
        matching = match(here, there, "20240101T000000Z-00000000")
        evaluation = fitted.evaluation.model_copy(update={"matching": matching})
        text = " ".join(shown(bundle, evaluation).split())
        assert words in text
        assert ("names do not compare" in text) == (there != here)


def test_a_leak_is_told_in_plain_words(bundle: Bundle, fitted: FittedBundle) -> None:
    assert fitted.evaluation is not None
    leaky = fitted.evaluation.model_copy(update={"shuffled": {"auc": 0.8, "r2": 0.3}})
    assert "AUC 0.800 with deciding clicks shuffled" in " ".join(shown(bundle, leaky).split())
    assert "leakage none" not in " ".join(shown(bundle, leaky).split())
