"""The reader of published records, on records of ours and of others."""

from __future__ import annotations

import msgspec
import pytest

from clickstream.records.reading import read_score, reader_of


class Part(msgspec.Struct):
    score_id: str
    clicks: int


FOREIGN = {
    "nothing": None,
    "empty": b"",
    "cut": b'{"score_id": "a/1", "cli',
    "no object": b"[1, 2]",
    "null": b"null",
    "a field is missing": b'{"clicks": 3}',
    "no text": b'{"score_id": "\xff", "clicks": 3}',
    "too deep": b'{"score_id": ' * 100_000,
    "too deep where it is skipped": b'{"other": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("value", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_no_record_of_ours_is_nothing(value: bytes | None) -> None:
    assert reader_of(Part)(value) is None
    assert read_score(value) is None


def test_a_record_is_read_as_far_as_it_is_needed() -> None:
    value = b'{"score_id": "a/1", "clicks": 3, "other": [1]}'
    assert reader_of(Part)(value) == Part("a/1", 3)
    assert read_score(value) == {"score_id": "a/1", "clicks": 3, "other": [1]}
