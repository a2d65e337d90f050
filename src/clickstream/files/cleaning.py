"""What of a file can be used, and of each other row why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from clickstream.files.dataset import Dataset
from clickstream.infra.errors import InputError
from clickstream.infra.words import counted

MAX_ROWS = 500_000
"""Rows of a file that is read row by row; more are refused."""

_SHOWN = 5


class RefusedRow(NamedTuple):
    """A row that cannot be used; line 1 is the header, 0 is not known. `reason` names what is wrong, in a
    word or the column, `detail` says it with the value, `text` is the row, cut where it is long.
    """

    line: int
    reason: str
    detail: str
    text: str


@dataclass(frozen=True)
class CleaningReport:
    """What became of the rows of a file: each of `rows` was kept, skipped on purpose, or refused.

    Of very many refused rows, of which `counts` are by reason, `refused` holds the first.

    `notes` are sentences about what was unusual and taken all the same.
    """

    name: str
    encoding: str
    delimiter: str
    rows: int
    kept: int
    skipped: int
    refused: tuple[RefusedRow, ...] = field(repr=False)
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] | None = None

    @cached_property
    def reasons(self) -> dict[str, int]:
        """Refused rows by reason, the most frequent first."""
        if self.counts is not None:
            return dict(self.counts)
        return dict(Counter(row.reason for row in self.refused).most_common())


class CleanedFile(NamedTuple):
    """The clicks that can be used, and what became of the others."""

    dataset: Dataset
    cleaning: CleaningReport


def refuse_empty(cleaning: CleaningReport) -> None:
    """Refuse a file of which no row can be used.

    Raises:
        InputError: no row is kept; names the first ones and what is wrong with them.
    """
    if cleaning.kept:
        return
    if not cleaning.rows:
        raise InputError(f"{cleaning.name} has a header but no clicks", "Give a file with rows.")
    skipped = f", {cleaning.skipped:,} are left out by [rows]" if cleaning.skipped else ""
    lines = [f"  line {row.line}, {row.reason}: {row.detail}" for row in cleaning.refused[:_SHOWN]]
    if len(cleaning.refused) > _SHOWN:
        lines.append(f"  and {len(cleaning.refused) - _SHOWN:,} more")
    raise InputError(
        "\n".join(
            [f"{cleaning.name}: none of its {counted(cleaning.rows, 'row')} can be used{skipped}", *lines]
        ),
        "Line 1 is the header. Look at the first rows with a text editor.",
    )
