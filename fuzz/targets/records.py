"""Records of the clicks topic: a click, a heartbeat or a refusal, the same by both ways to read; and what
is taken folds without an error.

Parts: which shop, the key, the value.
"""

from __future__ import annotations

from typing import Any

import orjson

from clickstream.features.session import Session
from clickstream.features.shop import shop_of
from clickstream.features.shop_file import built_in
from clickstream.records.click import Heartbeat, InvalidRecordError
from clickstream.records.shop_click import parser_of
from fuzz.contract import parts

_SHOPS = [built_in(name) for name in ("uci553", "online-store")]
_LARGEST = 4_096


def check(data: bytes) -> None:
    """Read one record by both ways."""
    which, key, value = parts(data, 3)
    definition = _SHOPS[len(which) % len(_SHOPS)]
    parser, shop = parser_of(definition), shop_of(definition)
    names = parser.model.model_fields
    fast, slow = (_said(read, value, key, names) for read in (parser.read, parser.parse))
    if fast != slow:
        raise AssertionError(f"the fast way says {fast}, the other {slow}")
    if not isinstance(slow, dict):
        return
    click = shop.step_of(parser.read(value, key, _LARGEST))
    window: Session = shop.open(click, 0, key.decode())
    window.add(click, 1)
    orjson.dumps([shop.features(window), shop.known(window), shop.outcome(window)._asdict()])


def _said(read: Any, value: bytes, key: bytes, names: Any) -> Any:
    try:
        record = read(value, key, _LARGEST)
    except InvalidRecordError as error:
        # It goes into the dead letter.
        orjson.dumps(error.detail)
        return error.reason, error.detail
    if isinstance(record, Heartbeat):
        return record
    return {name: repr(getattr(record, name)) for name in names}
