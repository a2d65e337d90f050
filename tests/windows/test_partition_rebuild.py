"""State lost and rebuilt: every later window is what it would have been, or marked; none comes twice.

The model runs a log through a partition that loses nothing, and again through one whose state is lost at one
place or two, each time rebuilt as recovery does it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from factory import click, examples, heartbeat
from hypothesis import event, given
from hypothesis import strategies as st
from losses import Outcome, with_losses
from oracle import Read, code, drawn, shown, written

from clickstream.records.click import Click, Heartbeat
from clickstream.windows.partition import ClosedWindow
from clickstream.windows.rules import Rules

MINUTE = 60_000

Id = tuple[str, int]


def stamped(record: Click | Heartbeat) -> Read:
    return Read(0, record.event_time, record)


def ids(windows: Sequence[ClosedWindow]) -> Counter[Id]:
    return Counter((one.session_id, one.session.opened_at) for one in windows)


def described(windows: Sequence[ClosedWindow], partial: bool) -> Counter[object]:
    return Counter(shown(one) for one in windows if one.partial == partial)


def meet(one: ClosedWindow, other: ClosedWindow, reach: int) -> bool:
    """Whether two windows of a session are no farther apart than clicks of one window may be."""
    return (
        one.session_id == other.session_id
        and one.session.opened_at <= other.session.last.event_time + reach
        and other.session.opened_at <= one.session.last.event_time + reach
    )


def check(rules: Rules, log: Sequence[Read], places: Sequence[int], horizon: int = 0) -> Outcome:
    found = with_losses(rules, log, places, horizon)
    reach = rules.gap + rules.allowed_lateness
    right, sure = described(found.right, False), described(found.windows, False)
    assert sure <= right, "published, and neither right nor marked"
    marked = [one for one in found.windows if one.partial]
    lost = right - sure
    for one in found.right:
        if shown(one) in lost:
            assert any(meet(one, other, reach) for other in marked), "neither published nor marked"
    may = ids(found.right)
    twice = {one for one, times in ids(found.windows).items() if times > max(may[one], 1)}
    assert not twice, "published twice"
    for letter in {*found.letters} ^ {*found.right_letters}:
        late = log[letter.offset].record
        assert letter.reason == "late"
        assert isinstance(late, Click)
        assert any(late.session_id == one.session_id for one in marked), "a dead letter of a certain visit"
    return found


small_rules = st.builds(
    Rules,
    gap=st.integers(1, 8),
    allowed_lateness=st.sampled_from([0, 1, 2, 4, 6, 12]),
    max_ahead=st.just(1_000),
    max_clicks=st.sampled_from([1_000, 5, 4, 3, 2]),
    max_pending=st.sampled_from([1_000, 3, 2, 1]),
    max_open_sessions=st.sampled_from([1_000, 4, 3, 2, 1]),
)
long_logs = st.lists(code, min_size=6, max_size=60).map(drawn).map(written)


@given(rules=small_rules, log=long_logs, places=st.lists(st.integers(1, 60), min_size=1, max_size=2))
@examples(1_000)
def test_after_a_loss_every_window_is_what_it_would_have_been_or_marked_and_none_comes_twice(
    rules: Rules, log: list[Read], places: list[int]
) -> None:
    found = check(rules, [*log, stamped(heartbeat(10_000))], places)
    event(f"rebuilt from the middle: {found.from_the_middle}")
    event(f"marked windows: {any(one.partial for one in found.windows)}")


def test_sixteen_clicks_and_a_bound_of_three() -> None:
    """Rebuilt from the middle, other sessions than before would be the fourth."""
    rules = Rules(gap=30, allowed_lateness=1, max_open_sessions=3)
    visitors = "a" * 3 + "bcd" + "a" + "ebcd" + "ab" + "dce"
    log = [stamped(click(20 * at, session_id=one)) for at, one in enumerate(visitors)]
    log = [*log, stamped(heartbeat(10_000))]
    for place in range(1, len(log)):
        check(rules, log, [place])


def bot(minutes: range, pause_at: int = -40) -> list[Read]:
    """One click a minute of one visitor, who pauses once or never; then time passes."""
    awake = [minute for minute in minutes if not pause_at <= minute < pause_at + 40]
    clicks = [stamped(click(minute * MINUTE, session_id="bot")) for minute in awake]
    return [*clicks, stamped(heartbeat(minutes.stop * 2 * MINUTE))]


BOTS = Rules(gap=30 * MINUTE, allowed_lateness=MINUTE, max_clicks=100)


def test_a_visit_that_never_pauses_is_certain_again_once_a_score_says_where_max_clicks_cut_it() -> None:
    found = check(BOTS, bot(range(1_000)), [600], horizon=360 * MINUTE)
    assert found.from_the_middle
    assert not any(one.partial for one in found.windows)


def test_a_window_open_since_before_the_rebuild_is_marked_and_so_are_the_next_until_a_pause() -> None:
    rules = replace(BOTS, max_clicks=400)
    found = check(rules, bot(range(1_500), pause_at=1_100), [350])
    assert [one.partial for one in found.windows] == [True, True, False]


def test_a_flush_ends_all_doubt() -> None:
    log = bot(range(700))
    log[500:500] = [stamped(heartbeat(500 * MINUTE, flush=True))]
    rules = replace(BOTS, max_clicks=400)
    assert [one.partial for one in check(rules, log, [350]).windows] == [True, False]


def test_whom_the_bound_closes_in_the_stead_of_a_visit_in_doubt_is_marked() -> None:
    rules = Rules(gap=30 * MINUTE, allowed_lateness=0, max_open_sessions=2)
    log = [stamped(click(m * MINUTE, session_id="bot")) for m in range(0, 600, 20)]
    log += [stamped(click((600 + m) * MINUTE, session_id=f"v{m}")) for m in range(5)]
    found = check(rules, [*log, stamped(heartbeat(2_000 * MINUTE))], [30])
    assert {one.session_id for one in found.windows if one.partial} >= {"bot", "v0", "v1"}
