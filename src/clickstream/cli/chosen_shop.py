"""The shop that a command is about: its definition, and the folder of its bundles."""

from __future__ import annotations

from pathlib import Path

from clickstream.bundles.champion import bundles_of
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import UCI553
from clickstream.infra.errors import ConfigurationError
from clickstream.infra.settings import Settings
from clickstream.records.shops import load_shop


def chosen_definition(settings: Settings) -> ShopDefinition:
    """The shop that the settings name, as models know it.

    Raises:
        ConfigurationError: it cannot be used, or is another one under the name of uci553.
    """
    definition = load_shop(settings.shop).definition
    if definition.name == UCI553.definition.name and definition != UCI553.definition:
        raise ConfigurationError(
            f"{settings.shop} defines a shop {definition.name} ({definition.hash}) that is not the built-in"
            " one",
            "Give yours a name of its own.",
        )
    return definition


def chosen_shop(settings: Settings) -> tuple[ShopDefinition, Path]:
    """The shop that the settings name, and the folder of its bundles.

    Raises:
        ConfigurationError: as `chosen_definition`.
    """
    definition = chosen_definition(settings)
    return definition, bundles_of(settings.bundles, definition.name)
