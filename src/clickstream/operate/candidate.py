"""What becomes of a bundle that was just trained: put in use, or a candidate that consumers do not touch."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.bundles.champion import CHAMPION, bundles_of, promote, promote_first
from clickstream.bundles.folder import history
from clickstream.bundles.promotion_record import system_user
from clickstream.bundles.store import store_of
from clickstream.infra.errors import BundleError, ClickstreamError, InputError
from clickstream.infra.settings import Settings
from clickstream.terminal.comparison_view import show_comparison
from clickstream.training.comparison import BundleComparison


class PromotionPolicy(StrEnum):
    """When a new bundle is put in use. The first one of a home is, whatever is asked for."""

    first = "first"
    if_better = "if-better"
    always = "always"


_REASONS = {
    PromotionPolicy.first: "",
    PromotionPolicy.if_better: "better than the one in use on the same sessions",
    PromotionPolicy.always: "--promote always",
}


class Decision(NamedTuple):
    """Whether a new bundle was put in use.

    Attributes:
        before: the bundle that was in use until then, or still is; None where there is none that can be read.
        found: how both compare, where that was asked for.
        problem: why they do not, or why the better one was not promoted.
    """

    promoted: bool
    before: str | None
    found: BundleComparison | None = None
    problem: ClickstreamError | None = None


def decide(
    settings: Settings,
    bundle: Bundle,
    promotion: PromotionPolicy,
    compared: Callable[[Bundle, Bundle], BundleComparison],
) -> Decision:
    """Put a new bundle in use, or leave it a candidate.

    Args:
        compared: how the one in use and the new one do on sessions that neither has learned from; raises
            InputError where that cannot be said.
    """
    folder = bundles_of(settings.bundles, bundle.shop.name)
    store = store_of(settings, bundle.shop.name)
    author = system_user("training", _REASONS[promotion])
    if promote_first(folder, bundle.id, system_user("training", "the first bundle of the shop"), store):
        return Decision(True, None)
    before = next((one.bundle_id for one in history(settings, bundle.shop.name)), None)
    if promotion is PromotionPolicy.always:
        promote(folder, bundle.id, author=author, store=store)
        return Decision(True, before)
    if promotion is PromotionPolicy.first:
        return Decision(False, before)
    found = None
    try:
        used = load_bundle(settings, CHAMPION, bundle.shop)
        found = compared(used, bundle)
        if found.other_is_better:
            promote(folder, bundle.id, instead_of=used.id, author=author, store=store)
    except (BundleError, InputError) as problem:
        return Decision(False, before, found, problem)
    return Decision(found.other_is_better, used.id, found)


def show_decision(
    decision: Decision, bundle_id: str, data_name: str, console: Console, shop: str = ""
) -> None:
    """Print how the bundle compares, whether it is in use, and what may come next.

    Args:
        shop: what the commands to come need to know of the shop.
    """

    def line(words: str) -> None:
        console.print(words, soft_wrap=True)

    if decision.found is not None:
        show_comparison(decision.found, data_name, console)
    console.print()
    if decision.promoted:
        line(f"in use  [bold]{bundle_id}[/]" + (f", before: {decision.before}" if decision.before else ""))
        return
    if decision.problem is not None:
        line(f"[yellow]not promoted: {escape(decision.problem.what)}[/]")
        line(escape(decision.problem.remedy))
    stays = decision.before or "none that can be read"
    line(f"[bold]a candidate[/]: consumers do not touch it; in use is still {stays}")
    line(f"  clickstream models compare champion {bundle_id}{shop}   shows both on the same sessions")
    line(f"  clickstream models promote {bundle_id}{shop}            puts it in use")
