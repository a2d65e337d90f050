"""Words of `scores audit` that contradict each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clickstream.audit.verdict import EXIT_CODES
from clickstream.cli.audit import audit
from clickstream.infra import errors
from clickstream.infra.errors import ClickstreamError, UsageError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"follow": True, "ledger": Path("ledger.jsonl")}, "compare whole runs"),
        ({"follow": True, "baseline": "scores-before"}, "compare whole runs"),
        ({"every": "5s"}, "are for --follow"),
        ({"for_": "1h"}, "are for --follow"),
        ({"follow": True, "every": "5"}, "--every '5'"),
        ({"follow": True, "for_": "soon"}, "--for 'soon'"),
    ],
)
def test_words_that_contradict_each_other_are_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        audit(**words)


def test_each_verdict_has_an_exit_code_that_no_error_has() -> None:
    taken = {one.exit_code for one in vars(errors).values() if _is_error(one)}
    assert sorted(EXIT_CODES.values()) == [0, 1, 3]
    assert EXIT_CODES["exactly once"] == 0
    assert not taken & set(EXIT_CODES.values())


def _is_error(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, ClickstreamError)
