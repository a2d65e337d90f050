"""Random shops and random clicks of them, for hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st

from clickstream.features.definition import FieldType, ShopDefinition
from clickstream.features.shop_file import define
from clickstream.records.click import Click
from clickstream.records.shop_click import parser_of

FIELDS: dict[str, dict[str, Any]] = {
    "event": {"type": "text"},
    "product": {"type": "text", "optional": True},
    "price": {"type": "number", "at_least": 0, "optional": True},
    "weight": {"type": "number"},
    "page": {"type": "integer", "at_least": 0, "at_most": 9},
    "stock": {"type": "integer", "optional": True},
    "member": {"type": "boolean", "optional": True},
    "mobile": {"type": "boolean"},
}
EVENTS = define(
    {
        "name": "s",
        "fields": {
            "event": {"type": "text"},
            "page": {"type": "integer", "optional": True},
            "price": {"type": "number", "at_least": 0, "optional": True},
            "member": {"type": "boolean", "optional": True},
        },
        "goal": {"when": 'event == "buy"'},
        "features": {"clicks": {"count": True}},
    },
    "s",
)
"""A shop with a field of each type."""

NUMBERS = ["price", "weight", "page", "stock"]
CONDITIONS = [
    'event == "buy"',
    'event in ["look", "cart"]',
    "price > 2",
    "not (price > 2 and member)",
    "member or mobile",
    "product != null",
    "page * 2 > stock",
    "page / stock >= 1",
]

_names = [f"f{number}" for number in range(12)]
_where = st.none() | st.sampled_from(CONDITIONS)
_fields = st.sampled_from(list(FIELDS))


def _aggregated(word: str, value: Any, where: str | None) -> dict[str, Any]:
    return {word: value} if where is None else {word: value, "where": where}


_features = (
    st.builds(_aggregated, st.just("count"), st.just(True) | st.sampled_from(CONDITIONS), _where)
    | st.builds(_aggregated, st.just("share"), st.sampled_from(CONDITIONS), _where)
    | st.builds(
        _aggregated, st.sampled_from(["sum", "mean", "min", "max", "std"]), st.sampled_from(NUMBERS), _where
    )
    | st.builds(
        _aggregated, st.sampled_from(["first", "last", "distinct", "entropy", "changes"]), _fields, _where
    )
    | st.builds(
        _aggregated,
        st.just("seconds"),
        st.sampled_from(["since first", "since previous", "mean since previous", "max since previous"]),
        _where,
    )
    | st.just({"position": True})
)


@st.composite
def definitions(draw: st.DrawFn) -> ShopDefinition:
    """A shop of the fields above, with up to twelve features, some of them made of others."""
    given = draw(st.lists(_features, min_size=1, max_size=8))
    features = dict(zip(_names, given, strict=False))
    numeric = [
        name
        for name, feature in features.items()
        if not {"first", "last"} & feature.keys()
        or {"price", "weight", "page", "stock"} & set(feature.values())
    ]
    if numeric:
        features["part"] = {"ratio": [draw(st.sampled_from(numeric)), draw(st.sampled_from(numeric))]}
        features["again"] = {"ratio": ["part", draw(st.sampled_from(numeric))]}
        features["equal"] = {"same": [draw(st.sampled_from(numeric)), draw(st.sampled_from(numeric))]}
    last_click = draw(st.booleans())
    goal = {"last_click" if last_click else "when": draw(st.sampled_from(CONDITIONS))}
    if draw(st.booleans()):
        goal["value"] = draw(st.sampled_from(NUMBERS))
    source = {
        "name": "random",
        "distinct_at_most": draw(st.integers(1, 5)),
        "identity": draw(st.lists(_fields, max_size=3, unique=True)),
        "fields": FIELDS,
        "goal": goal,
        "features": features,
        "clusters": {"features": []},
    }
    return define(source, "random")


@st.composite
def clicks(draw: st.DrawFn, definition: ShopDefinition) -> dict[str, Any]:
    """One click, in no particular order yet: the caller sorts by time."""
    values: dict[FieldType, st.SearchStrategy[Any]] = {
        FieldType.TEXT: st.sampled_from(["look", "cart", "buy", "a", "b"]),
        FieldType.NUMBER: st.sampled_from([0.0, 0.5, 2.5, 10.25]),
        FieldType.INTEGER: st.integers(0, 5),
        FieldType.BOOLEAN: st.booleans(),
    }
    click: dict[str, Any] = {
        "event_time": draw(st.integers(0, 5_000)),
        "order": draw(st.none() | st.integers(1, 50)),
    }
    for field in definition.fields:
        value = values[field.type]
        click[field.name] = draw(st.none() | value if field.optional else value)
    return click


def dressed(definition: ShopDefinition, one: Click) -> Click:
    """A click of this shop in place of another's: equal ones stay equal, others differ."""
    random = Random(repr((one.product, one.page, one.category, one.price)))
    values: dict[FieldType, Sequence[Any]] = {
        FieldType.TEXT: ("look", "cart", "buy", "a"),
        FieldType.NUMBER: (0.0, 0.5, 2.5, 10.25),
        FieldType.INTEGER: (0, 1, 2, 5),
        FieldType.BOOLEAN: (False, True),
    }
    fields = {
        field.name: None if field.optional and random.random() < 0.3 else random.choice(values[field.type])
        for field in definition.fields
    }
    every = {name: getattr(one, name) for name in ("session_id", "event_time", "order", "end", "time_source")}
    return parser_of(definition).click_of(every | fields)
