"""The fold of a definition: equal to the definition read literally, and to the fold of UCI 553."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from shop_definitions import clicks, definitions

from clickstream.features import interpreter
from clickstream.features.definition import ShopDefinition
from clickstream.features.fold import CompiledFold, compile_fold
from clickstream.features.shop import UCI553
from clickstream.features.shop_file import built_in
from clickstream.training.training import TrainingSession

Row = dict[str, Any]


def step(fold: CompiledFold, row: Row) -> Any:
    return fold.step(**{name: row[name] for name in fold.step.__struct_fields__ if name in row})


def close(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
    return bool(one == other)


@given(st.data(), definitions())
def test_the_fold_is_what_the_definition_says(data: st.DataObject, definition: ShopDefinition) -> None:
    rows = data.draw(st.lists(clicks(definition), min_size=1, max_size=12))
    late = [row for row in rows[1:] if data.draw(st.booleans())]
    in_order = sorted(
        (r for r in rows if not any(r is one for one in late)), key=lambda row: row["event_time"]
    )
    fold = compile_fold(definition)
    aggregate = fold.aggregate()
    # A late click is counted at its arrival, wherever that is between the others.
    for row in in_order:
        aggregate.add(step(fold, row))
        encoded = msgspec.msgpack.encode(aggregate)
        aggregate = msgspec.msgpack.decode(encoded, type=fold.aggregate).copied()
    for row in late:
        aggregate.count(step(fold, row))
    found = aggregate.features()
    meant = interpreter.features(
        definition, interpreter.WindowClicks(in_order, [interpreter.Late(row, len(in_order)) for row in late])
    )
    assert list(found) == list(meant)
    for name, value in meant.items():
        assert close(found[name], value), definition.feature(name)


def test_uci553_gives_the_features_and_outcomes_that_its_models_were_published_with(
    real_sessions: list[TrainingSession],
) -> None:
    """Bit by bit, types and order included; recorded from a fold that was written by hand."""
    seen = hashlib.sha256()
    for one in real_sessions:
        window = one.session
        row = (UCI553.evidence(window), UCI553.features(window), tuple(UCI553.outcome(window)[:2]))
        seen.update(repr(row).encode())
    assert seen.hexdigest()[:16] == "d8728100ebcbc83c"


def test_what_comes_late_counts_where_order_does_not_matter() -> None:
    definition = built_in("uci553")
    fold = compile_fold(definition)
    first, last, late = (
        fold.step(time, time, f"P{time}", "sale", 10.0 * time, 1 + time % 2, time) for time in (1, 3, 2)
    )
    aggregate = fold.aggregate()
    aggregate.add(first)
    aggregate.add(last)
    aggregate.count(late)
    found = aggregate.features()
    assert (found["session_length"], found["n_unique_models"], found["mean_price"]) == (3, 3, 20.0)
    assert (found["first_page"], found["last_page"], found["last_order"]) == (1, 3, 3)


def test_online_store_counts_the_steps_towards_the_purchase_and_their_kinds() -> None:
    """By the interpreter, and by hand: what else the visitor does is no step, nor is the purchase."""
    definition = built_in("online-store")
    fold = compile_fold(definition)
    events = ["home", "add_to_cart", "cart", "product_view", "add_to_cart", "shipping_details", "purchase"]
    absent = dict.fromkeys(field.name for field in definition.fields)
    rows = [
        {**absent, "event_time": 1_000 * at, "order": at, "event": event}
        for at, event in enumerate(events, 1)
    ]
    aggregate = fold.aggregate()
    seen = []
    for at, row in enumerate(rows, 1):
        aggregate.add(step(fold, row))
        found, meant = (
            aggregate.features(),
            interpreter.features(definition, interpreter.WindowClicks(rows[:at])),
        )
        assert all(close(found[name], value) for name, value in meant.items())
        seen.append((found["steps"], found["step_kinds"]))
    assert seen == [(0, 0), (1, 1), (2, 2), (2, 2), (3, 2), (4, 3), (4, 3)]


def test_the_written_code_can_be_read() -> None:
    source = compile_fold(built_in("uci553")).source
    assert max(map(len, source.splitlines())) < 160
    assert "if price_2 == 1:" in source
