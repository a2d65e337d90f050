"""Files of clicks: each way to read one gives clicks or says what is wrong with it.

Parts: how it is read and packed, one letter each; the content.
"""

from __future__ import annotations

import gzip
import io
import zipfile

from clickstream.features.shop import UCI553, shop_of
from clickstream.features.shop_file import built_in
from clickstream.files.mapping import (
    choices_of,
    mapping_by_name,
    mapping_file,
    read_mapping,
    read_sample,
    read_shop_mapping,
)
from clickstream.files.reading import read_clicks
from clickstream.infra.errors import InputError
from fuzz.contract import parts, refusing

_STORE = built_in("online-store")
_BY_NAME = mapping_by_name(_STORE)
_UCI = read_mapping(
    b"""[clicks]
session_id = "user_session"
event_time = "event_time"
product = "product_id"
category = { column = "category_code", up_to = ".", missing = "none" }
price = { column = "price", decimal = "," }
[rows]
column = "event_type"
keep = ["view"]
end = ["purchase"]
"""
)


def check(data: bytes) -> None:
    """Read one file."""
    how, content = parts(data, 2)
    way, packing = (how + b"..")[:2]
    content = _packed(content, packing)
    with refusing(InputError):
        match way % 4:
            case 0:
                log, _ = read_clicks(content, UCI553, None, "upload.csv")
                list(log.steps())
            case 1:
                log, _ = read_clicks(content, UCI553, _UCI, "upload.csv")
                list(log.steps())
            case 2:
                log, _ = read_clicks(content, shop_of(_STORE), _BY_NAME, "upload.jsonl")
                list(log.steps())
            case _:
                sample = read_sample(content, "upload.csv", _STORE)
                if choices := choices_of(sample, _STORE):
                    text = mapping_file(choices, _STORE)
                    read_shop_mapping(text, _STORE)


def _packed(content: bytes, how: int) -> bytes:
    """As it came, or in a gz or zip whose checksums are right: a fuzzer seldom guesses one."""
    if how % 3 == 1:
        return gzip.compress(content, 1, mtime=0)
    if how % 3 == 2:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("clicks.csv", content)
        return stream.getvalue()
    return content
