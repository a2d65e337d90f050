"""Numbers with their nouns."""

from __future__ import annotations

_IRREGULAR = {"category": "categories", "process": "processes", "batch": "batches"}


def counted(number: int, noun: str) -> str:
    """1 -> "1 session", 1200 -> "1,200 sessions"; the noun's last word is the one that changes."""
    if number == 1:
        return f"1 {noun}"
    head, _, last = noun.rpartition(" ")
    plural = _IRREGULAR.get(last, f"{last}s")
    return f"{number:,} {head} {plural}" if head else f"{number:,} {plural}"
