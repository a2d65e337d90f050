"""Mapping files: refused in words, or a mapping by which a file is read or refused in words.

Parts: the mapping; the file.
"""

from __future__ import annotations

from clickstream.features.shop import UCI553, shop_of
from clickstream.features.shop_file import built_in
from clickstream.files.mapping import read_mapping, read_shop_mapping
from clickstream.files.reading import read_clicks
from clickstream.infra.errors import InputError
from fuzz.contract import parts, refusing

_STORE = built_in("online-store")


def check(data: bytes) -> None:
    """Read one mapping onto each of two shops, and a file by it."""
    text, content = parts(data, 2)
    with refusing(InputError):
        list(read_clicks(content, UCI553, read_mapping(text), "clicks.csv")[0].steps())
    with refusing(InputError):
        list(read_clicks(content, shop_of(_STORE), read_shop_mapping(text, _STORE), "clicks.csv")[0].steps())
