"""Made-up sessions as a file in the layout of UCI 553."""

from __future__ import annotations

from pathlib import Path

from clickstream.files.rows import CATEGORIES
from clickstream.producer.synthetic import synthetic_dataset

_HEADER = (
    "year;month;day;order;country;session ID;page 1 (main category);page 2 (clothing model);colour;location;"
    "model photography;price;price 2;page"
)


def write_dataset(path: Path, sessions: int, seed: int = 7) -> None:
    """`sessions` made-up ones, every click a row; ids are numbers there."""
    numbers = {name: number for number, name in CATEGORIES.items()}
    rows = (
        f"{c.day.year};{c.day.month};{c.day.day};{c.order};{c.country};{c.session_id.removeprefix('s')};{numbers[c.category]};"
        f"{c.product};{c.colour};{c.location};{c.photography};{c.price:g};{c.price_2};{c.page}"
        for c in synthetic_dataset(sessions, seed).clicks
    )
    path.write_text("\n".join((_HEADER, *rows)) + "\n")
