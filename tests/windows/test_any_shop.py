"""Sessions of any shop: random definitions over random logs, held against a literal reading of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

from factory import examples
from hypothesis import given
from hypothesis import strategies as st
from losses import with_losses
from oracle import Read, crowded_logs, logs, rules_to_keep
from shop_definitions import definitions, dressed

from clickstream.audit.expected import facts
from clickstream.audit.independent import IndependentReading
from clickstream.audit.independent import ReadWindow as Audited
from clickstream.consumer.state_format import decode, encode
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import Shop, shop_of
from clickstream.records.click import Click
from clickstream.windows.partition import EVERY_SESSION, ClosedWindow, Partition
from clickstream.windows.rules import Rules


def of_shop(definition: ShopDefinition, log: Sequence[Read]) -> list[Read]:
    return [
        read._replace(offset=at, record=dressed(definition, read.record))
        if isinstance(read.record, Click)
        else read._replace(offset=at)
        for at, read in enumerate(log)
    ]


def known(shop: Shop, closed: ClosedWindow) -> dict[str, Any]:
    """All that is said of a window, and all that is learned of it."""
    session = closed.session
    return {
        "session": closed.session_id,
        "opened_at": session.opened_at,
        "closed_by": closed.closed_by,
        "clicks": session.clicks,
        "late": session.late,
        "duplicates": session.duplicates,
        "features": shop.features(session),
        "evidence": (session.evidence, shop.evidence(session)),
        "lesson": shop.lesson(session),
        "outcome": shop.outcome(session),
    }


@given(definition=definitions(), rules=rules_to_keep, log=logs | crowded_logs)
@examples(150)
def test_what_closes_is_what_the_rules_and_the_definition_say(
    definition: ShopDefinition, rules: Rules, log: list[Read]
) -> None:
    shop = shop_of(definition)
    rules = replace(rules, shop=shop)
    logic, plain = Partition(rules), IndependentReading(rules, definition, whole=True)
    for read in of_shop(definition, log):
        logic.closed.clear()
        logic.refused.clear()
        logic.advance(*read)
        said = [
            Audited(
                facts(shop, one, shop.features(one.session), "clicks", 0, ""),
                shop.evidence(one.session),
                shop.lesson(one.session),
            )
            for one in logic.closed
        ]
        refused = logic.refused[0].reason if logic.refused else None
        early = logic.early.get(EVERY_SESSION, -1)
        assert plain.advance(*read, said, refused, logic.open_sessions, early) == []


@given(
    definition=definitions(),
    rules=rules_to_keep,
    log=logs | crowded_logs,
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5),
)
@examples(100)
def test_it_goes_on_from_stored_bytes_wherever_a_step_ends(
    definition: ShopDefinition, rules: Rules, log: list[Read], sizes: list[int]
) -> None:
    """As after a crash behind each step: the next one has nothing but what was stored."""
    shop = shop_of(definition)
    rules = replace(rules, shop=shop)
    left = of_shop(definition, log)
    whole = Partition(rules)
    for read in left:
        whole.advance(*read)
    stored: dict[str, tuple[bytes, int]] = {}
    part, closed = Partition(rules), []
    for size in cycle(sizes):
        records, left = left[:size], left[size:]
        part = Partition(rules, part.newest, part.open_sessions, early=part.early)
        named, until, first = part.needs((read.offset for read in records), (read.record for read in records))
        next_due = sorted(stored, key=lambda name: (stored[name][1], name))[:first]
        wanted = named | {name for name, (_, due) in stored.items() if due <= until} | set(next_due)
        part.load({name: decode(stored[name][0], shop) for name in wanted if name in stored})
        for read in records:
            part.advance(*read)
        closed += part.closed
        kept, deleted = part.changes()
        stored = {name: one for name, one in stored.items() if name not in deleted}
        stored |= {name: (encode(visit), due) for name, (visit, due) in kept.items()}
        if not left:
            break
    assert [known(shop, one) for one in closed] == [known(shop, one) for one in whole.closed]


@given(data=st.data(), definition=definitions(), log=logs)
@examples(100)
def test_the_order_of_arrival_within_the_lateness_changes_nothing(
    data: st.DataObject, definition: ShopDefinition, log: list[Read]
) -> None:
    shop = shop_of(definition)
    rules = Rules(gap=8, allowed_lateness=6, shop=shop)
    clicks = [read.record for read in of_shop(definition, log) if isinstance(read.record, Click)]
    found = []
    for _ in range(2):
        delays = data.draw(st.lists(st.integers(0, 6), min_size=len(clicks), max_size=len(clicks)))
        places = sorted(range(len(clicks)), key=lambda at: clicks[at].event_time + delays[at])
        partition = Partition(rules)
        for offset, at in enumerate(places):
            partition.advance(offset, clicks[at].event_time, clicks[at])
        for session_id in list(partition.sessions):
            partition._close_all(session_id, len(clicks), "flush")
        assert not partition.refused
        found.append(Counter(repr(known(shop, one)) for one in partition.closed))
    assert found[0] == found[1]


@given(data=st.data(), definition=definitions(), log=logs)
@examples(100)
def test_copies_within_the_lateness_are_counted_and_change_nothing_else(
    data: st.DataObject, definition: ShopDefinition, log: list[Read]
) -> None:
    shop = shop_of(definition)
    rules = Rules(gap=8, allowed_lateness=6, shop=shop)
    clicks = [read.record for read in of_shop(definition, log) if isinstance(read.record, Click)]
    copies = data.draw(st.lists(st.sampled_from(clicks), max_size=6)) if clicks else []
    delays = data.draw(st.lists(st.integers(0, 6), min_size=len(copies), max_size=len(copies)))
    arriving = [(one.event_time, one) for one in clicks]
    late = [(one.event_time + delay, one) for one, delay in zip(copies, delays, strict=True)]
    found = []
    for sent in (arriving, arriving + late):
        partition = Partition(rules)
        for offset, (_, one) in enumerate(sorted(sent, key=lambda pair: pair[0])):
            partition.advance(offset, one.event_time, one)
        for session_id in list(partition.sessions):
            partition._close_all(session_id, len(sent), "flush")
        assert not partition.refused
        windows = [known(shop, one) for one in partition.closed]
        dropped = sum(window.pop("duplicates") for window in windows)
        found.append((Counter(map(repr, windows)), dropped))
    (once, dropped), (again, more) = found
    assert again == once
    assert more == dropped + len(copies)


@given(
    definition=definitions(),
    rules=rules_to_keep,
    log=logs,
    places=st.lists(st.integers(1, 30), min_size=1, max_size=2, unique=True),
)
@examples(100)
def test_after_a_loss_of_all_state_a_window_is_what_it_would_have_been_or_marked(
    definition: ShopDefinition, rules: Rules, log: list[Read], places: list[int]
) -> None:
    shop = shop_of(definition)
    found = with_losses(replace(rules, shop=shop), of_shop(definition, log), places, horizon=30)
    right = Counter(repr(known(shop, one)) for one in found.right)
    sure = Counter(repr(known(shop, one)) for one in found.windows if not one.partial)
    assert sure <= right
