"""Which shop the models of a bundle are of."""

from __future__ import annotations

from collections.abc import Mapping

from clickstream.bundles.manifest import Manifest
from clickstream.bundles.verification import DEFINITION
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop_file import UCI553_NAME, built_in, from_source
from clickstream.infra.errors import BundleError


def definition_of(manifest: Manifest, files: Mapping[str, bytes]) -> ShopDefinition:
    """The definition that the models of a verified bundle were made for.

    Raises:
        ValueError: the one that the bundle carries is not read as it was when the bundle was made.
    """
    if manifest.shop is None:
        return built_in(UCI553_NAME)
    definition = from_source(files[DEFINITION], DEFINITION)
    if (definition.name, definition.hash) != _named(manifest):
        raise ValueError(f"{DEFINITION} is {definition.name} {definition.hash}, not that of the manifest")
    return definition


def check_shop(manifest: Manifest, shop: ShopDefinition, where: str) -> None:
    """Refuse a bundle whose models are of another shop, or of another definition of this one.

    Raises:
        BundleError: names both shops, and the bundle as `where`.
    """
    name, digest = _named(manifest)
    if (name, digest) != (shop.name, shop.hash):
        raise BundleError(
            f"{where} is of shop {name} {digest}; asked for is shop {shop.name} {shop.hash}",
            "Use a bundle of this shop, or the shop file that the bundle was trained with; `clickstream train"
            " --shop` makes a bundle of it.",
        )


def _named(manifest: Manifest) -> tuple[str, str]:
    """Name and hash of the definition."""
    if manifest.shop is None:
        return UCI553_NAME, built_in(UCI553_NAME).hash
    return manifest.shop.name, manifest.shop.hash
