"""`clickstream models verify` and `sign`: whether bundles are what they were, and by whom."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.console import Console

from clickstream.bundles.champion import bundles_of
from clickstream.bundles.folder import have, known_ids
from clickstream.bundles.signature import signing_key, write_signature
from clickstream.bundles.store import store_of
from clickstream.bundles.verification import verify as check
from clickstream.cli.chosen_shop import chosen_shop
from clickstream.cli.options import HomeOption, Shop
from clickstream.infra.errors import BundleError, ConfigurationError, UsageError
from clickstream.infra.settings import load_settings
from clickstream.infra.words import counted
from clickstream.terminal.printable import plain

_SIGNED = {
    "valid": "signature valid",
    "not checked": "signed; not checked, as no key is set",
    "no": "not signed",
}


def verify(
    bundle: Annotated[
        str | None, typer.Argument(metavar="ID|PATH", help="Bundle id, path, or champion.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All bundles of the folder.")] = False,
    shop: Shop = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Check every byte of a bundle, its versions, its features and, with a key set, its signature.

    Opens no pickle. Exit codes: 0 all are fine; 1 one is not, its line says why.
    """
    if every == (bundle is not None):
        raise UsageError("name a bundle, or give --all", "As `clickstream models verify champion`.")
    settings = load_settings(home=home, shop=shop)
    definition, folder = chosen_shop(settings)
    key = signing_key(settings)
    names = [bundle] if bundle is not None else known_ids(settings, definition.name)
    if not names:
        raise BundleError(f"no bundles in {folder}", "Run `clickstream train`.")
    console = Console(highlight=False, soft_wrap=True)
    results, bad = [], False
    for name in names:
        try:
            verified = check(have(settings, definition.name, name), key)
        except BundleError as error:
            bad = True
            results.append({"bundle": name, "ok": False, "problem": error.what, "remedy": error.remedy})
            if not as_json:
                console.print(f"[bold red]fail[/]  {plain(name)}  {plain(error.what)}")
                console.print(f"      [dim]→[/] {plain(error.remedy)}")
            continue
        results.append({"bundle": verified.manifest.id, "ok": True, "signed": verified.signed})
        if not as_json:
            size = sum(len(content) for content in verified.files.values())
            console.print(
                f"[green]ok[/]    {verified.manifest.id}  {len(verified.files)} files,"
                f" {counted(size, 'byte')},"
                f" {_SIGNED[verified.signed]}"
            )
    if as_json:
        typer.echo(orjson.dumps(results))
    if bad:
        raise typer.Exit(1)


def sign(
    bundle: Annotated[str, typer.Argument(metavar="ID|PATH", help="Bundle id, path, or champion.")],
    shop: Shop = None,
    home: HomeOption = None,
) -> None:
    """Sign a bundle with the key that is set: from then on it counts as ours.

    It is verified first, but for its signature: sign only what you know the origin of.

    Exit codes: 0 signed; 65 the bundle is damaged or made for something else; 78 no key is set.
    """
    settings = load_settings(home=home, shop=shop)
    definition, _ = chosen_shop(settings)
    key = signing_key(settings)
    if key is None:
        raise ConfigurationError(
            "no key for bundles is set",
            "Set CLICKSTREAM_BUNDLE_KEY_FILE to a file that only you can read, with a line as"
            " `openssl rand -hex 32` writes it.",
        )
    # With the key, what is not signed would not be fetched.
    without = settings.model_copy(update={"bundle_key": None, "bundle_key_file": None})
    verified = check(have(without, definition.name, bundle), None)
    write_signature(verified.path, verified.text, key)
    check(verified.path, key)
    store = store_of(settings, definition.name)
    if store is not None and verified.path.parent == bundles_of(settings.bundles, definition.name):
        store.publish(verified.manifest.id)
    Console(highlight=False, soft_wrap=True).print(f"signed: {verified.manifest.id}")
