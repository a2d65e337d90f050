"""Shops by name or file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from clickstream.features.shop import Shop, shop_of
from clickstream.features.shop_file import (
    LARGEST_FILE,
    DefinitionError,
    built_in,
    built_in_file,
    built_in_names,
    read_definition,
)
from clickstream.infra.errors import ConfigurationError


@cache
def load_shop(named: str) -> Shop:
    """The shop that is built in under this name, or that a file of this name defines.

    A file is read once a process: what is computed and what is said of it stay one, whatever happens to it.

    Raises:
        ConfigurationError: it cannot be used; names key and value.

    >>> from clickstream import load_shop
    >>> shop = load_shop("uci553")
    >>> [field.name for field in shop.definition.fields][:3]
    ['product', 'category', 'price']
    """
    try:
        path = Path(named)
        if named not in built_in_names() and path.is_file():
            with path.open("rb") as file:
                # One byte more tells a file that is too large.
                return shop_of(read_definition(file.read(LARGEST_FILE + 1), named))
        return shop_of(built_in(named))
    except DefinitionError as error:
        raise ConfigurationError(error.what, error.remedy) from None
    except OSError as error:
        raise ConfigurationError(f"shop {named} cannot be read: {error.strerror}") from None


def shop_file(named: str) -> bytes:
    """The shop file of a shop, as `--shop` takes it.

    Raises:
        ConfigurationError: it cannot be read, or is another one than this process goes by.
    """
    digest = load_shop(named).definition.hash
    try:
        text = built_in_file(named) if named in built_in_names() else Path(named).read_bytes()
        if read_definition(text, named).hash == digest:
            return text
    except (DefinitionError, OSError) as error:
        raise ConfigurationError(f"shop {named} cannot be read: {error}") from None
    raise ConfigurationError(f"shop file {named} was changed since it was read", "Start this command again.")
