"""Words of `scores audit` that contradict each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clickstream.app.cli.audit import audit
from clickstream.infra.errors import UsageError


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
