"""What becomes of a new bundle: the first is put in use, a later one by what was asked for."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from forgery import forge
from rich.console import Console

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.bundles.champion import CHAMPION, champion, promote, promote_first
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings
from clickstream.models.batch import BatchParameters, fit_batch
from clickstream.models.case import Example
from clickstream.models.examples import followed_products, gather
from clickstream.operate.candidate import Decision, PromotionPolicy, decide, show_decision
from clickstream.training.comparison import compare, unseen
from clickstream.training.training import TrainingSession
from clickstream.training.writing import FittedBundle, write

SHA = "0" * 64


@pytest.fixture(scope="session")
def ignorant(
    fitted: FittedBundle,
    shop: list[TrainingSession],
    examples: list[Example],
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    """A bundle whose batch models learned from outcomes of other sessions: worse than chance would be."""
    evidence = gather(examples, [followed_products(one) for one in shop])
    random.Random(1).shuffle(evidence.outcomes)
    batch = fit_batch(evidence, fitted.vocabulary, 42, BatchParameters())
    return write(
        fitted._replace(fitted={**fitted.fitted, "batch": batch}),
        tmp_path_factory.mktemp("ignorant") / "bundles",
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


Decides = Callable[[Bundle, PromotionPolicy], Decision]


@pytest.fixture
def decides(settings: Settings, shop: list[TrainingSession]) -> Decides:
    """Decides on a bundle, which is copied into the home."""

    def made(bundle: Bundle, promotion: PromotionPolicy) -> Decision:
        placed = shutil.copytree(bundle.path, settings.bundles / bundle.id)
        return decide(
            settings,
            load_bundle(settings, placed),
            promotion,
            lambda one, other: compare(one, other, unseen(shop, SHA, one.manifest, other.manifest)),
        )

    return made


@pytest.mark.parametrize("promotion", PromotionPolicy)
def test_the_first_bundle_is_put_in_use(
    promotion: PromotionPolicy, decides: Decides, settings: Settings, bundle: Bundle
) -> None:
    assert decides(bundle, promotion) == Decision(True, None)
    assert champion(settings.bundles) == bundle.id


def test_a_later_bundle_is_a_candidate_and_says_what_may_come_next(
    decides: Decides, settings: Settings, bundle: Bundle, ignorant: Bundle
) -> None:
    decides(bundle, PromotionPolicy.first)
    decision = decides(ignorant, PromotionPolicy.first)
    assert decision == Decision(False, bundle.id)
    assert champion(settings.bundles) == bundle.id
    words = said(decision, ignorant.id)
    assert f"in use is still {bundle.id}" in words
    assert f"clickstream models compare champion {ignorant.id}" in words
    assert f"clickstream models promote {ignorant.id}" in words


def said(decision: Decision, bundle_id: str) -> str:
    """What a person reads."""
    console = Console(width=100, highlight=False, color_system=None)
    with console.capture() as capture:
        show_decision(decision, bundle_id, "made-up shop", console)
    return capture.get()


def test_always_means_whatever_it_is_worth(
    decides: Decides, settings: Settings, bundle: Bundle, ignorant: Bundle
) -> None:
    decides(bundle, PromotionPolicy.first)
    assert decides(ignorant, PromotionPolicy.always) == Decision(True, bundle.id)
    assert champion(settings.bundles) == ignorant.id


def test_a_better_bundle_is_promoted_where_that_was_asked_for(
    decides: Decides, settings: Settings, bundle: Bundle, ignorant: Bundle
) -> None:
    decides(ignorant, PromotionPolicy.first)
    decision = decides(bundle, PromotionPolicy.if_better)
    assert decision.promoted
    assert decision.before == ignorant.id
    assert champion(settings.bundles) == bundle.id
    words = said(decision, bundle.id)
    assert "B is better by the log-loss of batch" in words
    assert f"before: {ignorant.id}" in words


def test_a_worse_bundle_never_reaches_consumers_by_if_better(
    decides: Decides, settings: Settings, bundle: Bundle, ignorant: Bundle
) -> None:
    decides(bundle, PromotionPolicy.first)
    decision = decides(ignorant, PromotionPolicy.if_better)
    assert not decision.promoted
    assert champion(settings.bundles) == bundle.id
    assert "A is better by the log-loss of batch" in said(decision, ignorant.id)


def test_one_that_cannot_be_compared_stays_a_candidate_with_the_reason(
    decides: Decides, settings: Settings, bundle: Bundle, ignorant: Bundle
) -> None:
    placed = Path(shutil.copytree(bundle.path, settings.bundles / "copy"))
    foreign = forge(placed, lambda manifest: manifest["feature_sets"].update(prefix="0123456789abcdef"))
    promote(settings.bundles, foreign.name)
    decision = decides(ignorant, PromotionPolicy.if_better)
    assert not decision.promoted
    assert champion(settings.bundles) == foreign.name
    assert "feature set prefix 0123456789abcdef" in " ".join(said(decision, ignorant.id).split())


def test_a_damaged_choice_is_not_taken_for_an_empty_home(
    decides: Decides, settings: Settings, bundle: Bundle
) -> None:
    settings.bundles.mkdir()
    (settings.bundles / CHAMPION).write_text("nonsense\n")
    decision = decides(bundle, PromotionPolicy.if_better)
    assert not decision.promoted
    assert "nonsense" in said(decision, bundle.id)
    assert (settings.bundles / CHAMPION).read_text() == "nonsense\n"


def test_what_was_decided_by_one_champion_is_not_done_to_another(copied: Path) -> None:
    folder, first = copied.parent, copied.name
    assert promote_first(folder, first)
    copy = Path(shutil.copytree(copied, folder / "copy"))
    second = forge(copy, lambda manifest: manifest.update(created_at="2008-04-01T00:00:00Z")).name
    assert not promote_first(folder, second)
    with pytest.raises(BundleError, match=f"{first} is in use now, no longer {second}"):
        promote(folder, second, instead_of=second)
    promote(folder, second, instead_of=first)
    assert champion(folder) == second
