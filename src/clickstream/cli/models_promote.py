"""`clickstream models promote` and `rollback`: choose the bundle in use."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from clickstream.bundles import champion
from clickstream.bundles.bundle import load_bundle
from clickstream.bundles.folder import day_and_time, history
from clickstream.bundles.manifest import BUNDLE_ID
from clickstream.bundles.promotion_record import system_user
from clickstream.bundles.store import store_of
from clickstream.cli.chosen_shop import chosen_shop
from clickstream.cli.options import HomeOption, Shop
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings, load_settings

Reason = Annotated[str, typer.Option(help="Why, for the record of promotions.")]

_TAKEN = "Running consumers with CLICKSTREAM_BUNDLE=champion take it within seconds; no session is lost."


def promote(
    bundle: Annotated[str, typer.Argument(metavar="ID", help="Id of the bundle, see `models list`.")],
    reason: Reason = "",
    shop: Shop = None,
    home: HomeOption = None,
) -> None:
    """Put a bundle in use. It is loaded first, as a consumer would; one that cannot be is refused.

    Who did it, when and why is added to `promotions.jsonl` beside the bundles.

    Exit codes: 0 it is in use; 65 it cannot be used here, nothing changed.
    """
    settings = load_settings(home=home, shop=shop)
    definition, folder = chosen_shop(settings)
    console = Console(highlight=False, soft_wrap=True)
    if not BUNDLE_ID.fullmatch(bundle):
        raise BundleError(
            f"{bundle!r} is no bundle id",
            f"Give an id of `clickstream models list`; a bundle from elsewhere is copied into"
            f" {folder} first.",
        )
    load_bundle(settings, bundle, definition)
    before = history(settings, definition.name)[:1]
    store = store_of(settings, definition.name)
    champion.promote(folder, bundle, author=system_user(reason=reason), store=store)
    if before and before[0].bundle_id == bundle:
        console.print(f"{bundle} is in use already")
        return
    console.print(f"in use: {bundle}" + (f", before: {before[0].bundle_id}" if before else ""))
    _hint(settings, console)


def rollback(reason: Reason = "", shop: Shop = None, home: HomeOption = None) -> None:
    """Go back to the bundle that was in use before. Again, and it goes back further.

    Exit codes: 0 done; 65 there is nothing to go back to, or it cannot be used here; nothing changed.
    """
    settings = load_settings(home=home, shop=shop)
    definition, folder = chosen_shop(settings)
    console = Console(highlight=False, soft_wrap=True)
    store = store_of(settings, definition.name)
    if store is not None:
        store.bring_history()
    current = champion.champion(folder)
    earlier = champion.next_in_line(folder)
    target = earlier[0].bundle_id
    try:
        load_bundle(settings, target, definition)
    except BundleError as error:
        others = sorted({one.bundle_id for one in earlier} - {target, current})
        raise BundleError(
            f"the bundle in use before cannot be used: {error.what}",
            f"{current} stays in use. Put that right ({error.remedy})"
            + (f" or `clickstream models promote` one of {', '.join(others[-5:])}." if others else "."),
        ) from error
    now = champion.roll_back(folder, target, system_user(reason=reason), store)
    since = "" if now.at is None else f", which was put in use {day_and_time(now.at)}"
    console.print(f"in use again: {target}{since}")
    console.print(f"taken back: {current}; `clickstream models promote {current}` brings it back")
    _hint(settings, console)


def _hint(settings: Settings, console: Console) -> None:
    if settings.bundle == champion.CHAMPION:
        console.print(_TAKEN)
    else:
        console.print(f"CLICKSTREAM_BUNDLE is {settings.bundle}: consumers with it go on using that one.")
