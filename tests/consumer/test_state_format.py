"""State of another version is read or refused, never misread; a format changes with its number only."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import msgspec
import pytest
from factory import session, step

from clickstream.consumer.note import Note, note_of, read_note
from clickstream.consumer.rebuild import rebuild_point_of
from clickstream.consumer.refusals import OpenUnder, SettingsChangedError, check_rules
from clickstream.consumer.state_format import (
    STATE_VERSION,
    DamagedError,
    ForgedError,
    decode,
    encode,
    meta_fields,
    read_meta,
    relied_on,
)
from clickstream.consumer.store import LostError
from clickstream.features.fold import entropy
from clickstream.features.session import FOLD_VERSION
from clickstream.features.shop import UCI553, shop_of
from clickstream.features.shop_file import built_in
from clickstream.infra.errors import BundleError, ConfigurationError, RefusedError
from clickstream.infra.kafka import CommittedOffset, Topic
from clickstream.infra.settings import Settings, load_settings
from clickstream.models.online import read_online_state
from clickstream.records.shop_click import click_model
from clickstream.windows import fingerprint as fingerprints
from clickstream.windows.fingerprint import fingerprint, rules_of, rules_text
from clickstream.windows.open_session import OpenSession, PendingClick
from clickstream.windows.partition import NOTHING_SEEN, Partition, Rebuild, RebuildPoint
from clickstream.windows.rules import Rules

# What version 3 of the state and version 1 of the fold write of `kept()`. A difference means that state in
# Redis would be misread: raise STATE_VERSION (other bytes for the same session) or FOLD_VERSION (another
# session of the same clicks), then renew this.
VERSION_3 = (
    "83c82b5fb9929acd03e899cd07d003a3413133a473616c65cb40290000000000000104c2c000079c0291a341313381a8"
    "74726f75736572730200cb4043000000000000cb0000000000000000cb4043000000000000cb40430000000000000201"
    "99cd03e801a3413133a874726f7573657273cb40430000000000000101c2c099cd03e801a3413133a874726f75736572"
    "73cb40430000000000000101c2c0920103900101c0919399cd232804a3413133a874726f7573657273cb404300000000"
    "00000101c3a973796e7468657469630801"
)

# What versions 1 and 2 wrote of it, which had the features of one dataset built in.
VERSION_2 = (
    "8224fba1809299cd03e899cd07d003a3413133a473616c65cb40290000000000000104c2c000079c0291a341313381a8"
    "74726f757365727302cb4043000000000000cb0000000000000000cb4043000000000000cb4043000000000000020100"
    "99cd03e801a3413133a874726f7573657273cb40430000000000000101c2c099cd03e801a3413133a874726f75736572"
    "73cb40430000000000000101c2c0920103900101919399cd232804a3413133a874726f7573657273cb40430000000000"
    "000101c3a973796e7468657469630801"
)
VERSION_1 = (
    "019299cd03e899cd07d003a3413133a473616c65cb40290000000000000104c2c000079c0291a341313381a874726f75"
    "7365727302cb4043000000000000cb0000000000000000cb4043000000000000cb404300000000000002010099cd03e8"
    "01a3413133a874726f7573657273cb40430000000000000101c2c099cd03e801a3413133a874726f7573657273cb4043"
    "0000000000000101c2c0920103900101919399cd232804a3413133a874726f7573657273cb40430000000000000101c3"
    "a973796e7468657469630801"
)


def kept() -> OpenSession:
    """An open session: a window of three clicks, one of them late, and a click that waits, twice."""
    window = session(step(1_000, 1), step(2_000, 3, category="sale", price=12.5, page=4))
    window.add_late(step(1_500, 2), 7)
    window.duplicates = 1
    return OpenSession(window, [PendingClick(step(9_000, 4, end=True, time_source="synthetic"), 8, 1)])


def test_a_session_is_read_back_as_it_was_written() -> None:
    assert decode(encode(kept()), UCI553) == kept()


def test_the_bytes_of_a_session_are_those_of_this_version() -> None:
    assert (STATE_VERSION, FOLD_VERSION) == (3, 1)
    assert encode(kept()).hex() == VERSION_3


@pytest.mark.parametrize(("state", "version"), [(VERSION_1, 1), (VERSION_2, 2)])
def test_what_an_earlier_version_wrote_of_a_session_is_refused_by_name(state: str, version: int) -> None:
    with pytest.raises(
        RefusedError, match=rf"format {version}; this program reads {STATE_VERSION}"
    ) as caught:
        decode(bytes.fromhex(state), UCI553)
    assert "clickstream drain" in caught.value.remedy


@pytest.mark.parametrize("version", [1, 2])
def test_a_partition_of_an_earlier_version_is_refused_with_sessions_open_and_taken_drained(
    version: int,
) -> None:
    with pytest.raises(RefusedError, match=f"3 open sessions in format {version}"):
        read_meta(written(Partition(Rules(), 5_000, 3), version=version))
    assert read_meta(written(Partition(Rules(), 5_000), version=version)).applied == 9


def test_a_rebuild_under_way_is_kept() -> None:
    logic = Partition(Rules(), 5_000, 3, [RebuildPoint(7, 1_000, 2)], closings=4, rebuild=Rebuild(90, 30))
    meta = read_meta(written(logic))
    assert (meta.rebuild_points, meta.closings, meta.rebuild) == (
        (RebuildPoint(7, 1_000, 2),),
        4,
        Rebuild(90, 30),
    )


def test_without_a_count_of_closings_only_the_beginning_is_a_place_to_rebuild_from() -> None:
    old = Note("gap=1", 8, 3, 5_000, (7, 1_000))
    assert rebuild_point_of(old, 9).offset == 0
    counted = msgspec.structs.replace(old, closings=4, closings_at_rebuild_point=1)
    assert rebuild_point_of(counted, 9) == RebuildPoint(7, 1_000, 1)
    assert rebuild_point_of(msgspec.structs.replace(old, open=0), 9).offset == 9


@pytest.mark.parametrize("at", range(len(VERSION_3) // 2))
def test_a_changed_byte_of_a_session_is_noticed(at: int) -> None:
    state = bytearray(encode(kept()))
    state[at] ^= 1
    with pytest.raises(RefusedError):
        decode(bytes(state), UCI553)


@pytest.mark.parametrize("version", [0, STATE_VERSION + 1, 255])
def test_a_session_of_another_format_is_refused_with_the_way_out(version: int) -> None:
    state = bytes((version,)) + encode(kept())[1:]
    with pytest.raises(RefusedError, match=rf"this program reads {STATE_VERSION}") as caught:
        decode(state, UCI553)
    assert "clickstream drain" in caught.value.remedy


@pytest.mark.parametrize("cut", [0, 1, 2, 40, -1])
def test_a_damaged_session_is_refused(cut: int) -> None:
    with pytest.raises(RefusedError):
        decode(encode(kept())[:cut], UCI553)


def test_a_session_that_is_nested_beyond_reason_is_refused() -> None:
    whole = encode(kept())[5:]
    # Two parts are its own; what a later version may add is passed over.
    deep = b"\x94" + whole[1:] + b"\x80" + b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(DamagedError, match="cannot be read"):
        decode(encode(kept())[:1] + zlib.crc32(deep).to_bytes(4) + deep, UCI553)


def test_a_goal_with_more_decision_points_than_clicks_can_be_is_refused_and_not_counted_through() -> None:
    shop = shop_of(built_in("online-store"))
    click = click_model(shop.definition)(session_id="visit", event_time=1_000, event="home")
    window = shop.open(shop.step_of(click), session_id="visit")
    assert decode(encode(OpenSession(window)), shop).window == window
    assert window.goal is not None
    window.goal.points = 1 << 40
    with pytest.raises(DamagedError, match="cannot be read"):
        decode(encode(OpenSession(window)), shop)


def test_numbers_that_do_not_add_up_are_damage_of_their_partition_and_a_loss_stays_a_loss() -> None:
    words = "of partition 7 is damaged: under a checksum that is right"
    with pytest.raises(ForgedError, match=words) as found, relied_on(7):
        entropy({"a": 1, "b": -1})
    assert found.value.partition == 7
    assert found.value.retriable
    assert "who else writes there" in found.value.remedy
    with pytest.raises(LostError, match="gone"), relied_on(7):
        raise LostError("gone")


def test_online_models_with_numbers_of_thousands_of_digits_are_refused() -> None:
    for lessons, checksum in (("9" * 5_000, "1"), ("1", "9" * 5_000)):
        with pytest.raises(BundleError, match="none that this version wrote"):
            read_online_state(f"clickstream-online-1 b {lessons} {checksum}\nx".encode(), "b")


def written(logic: Partition, **more: str | int) -> dict[str, str]:
    """The metadata of a partition in Redis, as another version left it where `version` is given."""
    fields = meta_fields(logic, "fold=1;gap=600000", 8) | {"applied": 9, "published": 9, "outbox": 0}
    return {name: str(value) for name, value in (fields | more).items()}


def test_a_partition_of_another_format_is_refused_with_sessions_open() -> None:
    logic = Partition(Rules(), 5_000, 3, [RebuildPoint(1, NOTHING_SEEN)])
    assert read_meta(written(logic)).open_sessions == 3
    with pytest.raises(RefusedError, match=f"3 open sessions in format {STATE_VERSION + 1}") as caught:
        read_meta(written(logic, version=STATE_VERSION + 1))
    assert "clickstream drain" in caught.value.remedy


@pytest.mark.parametrize(("counted", "found"), [(2, 0), (0, 2), (2, 2)])
def test_a_partition_of_another_format_is_refused_with_an_outbox(counted: int, found: int) -> None:
    """Counted by the metadata, or found beside it."""
    fields = written(Partition(Rules(), 5_000), outbox=counted)
    assert read_meta(fields, found).open_sessions == 0
    with pytest.raises(RefusedError, match=f"2 unpublished records in format {STATE_VERSION + 1}") as caught:
        read_meta(fields | {"version": str(STATE_VERSION + 1)}, found)
    assert "clickstream drain" in caught.value.remedy


def test_a_drained_partition_of_another_format_is_taken_and_only_what_is_stable_is_read() -> None:
    """The documented upgrade. Places to rebuild from are of no use, and not even decoded."""
    meta = read_meta(
        written(Partition(Rules(), 5_000), version=STATE_VERSION + 1, crumbs="?")
        | {"transactional_id": "shop-one", "of a later version": "?"}
    )
    assert (meta.applied, meta.published, meta.newest, meta.open_sessions) == (9, 9, 5_000, 0)
    assert (meta.settings, meta.partitions, meta.transactional_id) == ("fold=1;gap=600000", 8, "shop-one")
    assert (meta.rebuild_points, meta.doubtful, meta.version) == ((), {}, STATE_VERSION + 1)


@pytest.mark.parametrize(
    ("marks", "partial_before"),
    [
        ({}, -1),
        ({"partial_before": 7_000}, 7_000),
        ({"cut": '{"visit":1}'}, 605_000),
        ({"cut": "?"}, 605_000),
    ],
)
def test_a_drained_partition_of_another_format_still_knows_which_windows_may_lack_clicks(
    marks: dict[str, str | int], partial_before: int
) -> None:
    """Cuts are not decoded: none reaches beyond a gap after the newest click."""
    fields = written(Partition(Rules(), 5_000), version=STATE_VERSION + 1, **marks)
    assert read_meta(fields).partial_before == partial_before


def test_open_sessions_of_another_fold_are_refused_and_none_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    before = rules_text(settings)
    monkeypatch.setattr(fingerprints, "FOLD_VERSION", FOLD_VERSION + 1)
    now, topic = rules_text(settings), Topic("clicks", "id", 8)
    check_rules(0, OpenUnder(0, before, 8), now, topic)
    with pytest.raises(
        SettingsChangedError, match=f"fold was {FOLD_VERSION} and is {FOLD_VERSION + 1}"
    ) as caught:
        check_rules(0, OpenUnder(3, before, 8), now, topic)
    assert "clickstream drain" in caught.value.remedy


def test_a_note_of_a_later_version_is_read_as_far_as_it_is_known_and_another_is_none() -> None:
    text = note_of(Partition(Rules(), 5_000, 3, [RebuildPoint(7, 1_000, 2)], closings=4), "gap=1", 8)
    note = read_note(CommittedOffset(9, text))
    assert note is not None
    assert (note.open, note.newest, note.rebuild_point) == (3, 5_000, (7, 1_000))
    assert (note.closings, note.closings_at_rebuild_point) == (4, 2)
    later = msgspec.json.encode(msgspec.json.decode(text) | {"more": 1}).decode()
    assert read_note(CommittedOffset(9, later)) == note
    deep = '{"settings": "a", "x": ' + "[" * 100_000
    for strange in ("", "{}", "[]", "a note of somebody else", '{"settings": 1}', deep):
        assert read_note(CommittedOffset(9, strange)) is None


def test_max_behind_is_a_rule_like_the_others_where_it_is_set_and_none_where_it_is_off() -> None:
    off, on = Settings(), Settings(max_behind=604_800_000)
    assert "max_behind" not in rules_text(off)
    assert fingerprint(on) != fingerprint(off)
    assert (rules_of(off).max_behind, rules_of(on).max_behind) == (0, 604_800_000)
    with pytest.raises(SettingsChangedError, match="max_behind was off and is 604800000"):
        check_rules(0, OpenUnder(3, rules_text(off), 8), rules_text(on), Topic("clicks", "id", 8))


def test_a_max_behind_within_the_allowed_lateness_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"max_behind \(59s\) must be 0 or not below"):
        load_settings(max_behind=59_000)
    assert load_settings(max_behind=60_000).max_behind == 60_000


def test_what_was_settled_early_is_kept_also_for_another_format() -> None:
    """A drain is the flush after which another version takes over."""
    partition = Partition(Rules(), 5_000, early={"a": 5_000, "": 4_990})
    for version in (STATE_VERSION, STATE_VERSION + 1):
        meta = read_meta(written(partition, version=version))
        assert list(meta.early.items()) == [("a", 5_000), ("", 4_990)]
    assert read_meta({}).early == {}


def test_every_field_of_the_metadata_is_in_the_table_of_the_documents() -> None:
    page = (Path(__file__).parents[2] / "docs/architecture.md").read_text()
    by_scripts = {
        "token",
        "generation",
        "transactional_id",
        "applied",
        "published",
        "outbox",
        "online",
        "sum",
    }
    named = {
        name
        for line in page.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert named >= meta_fields(Partition(Rules()), "", 8).keys() | by_scripts
