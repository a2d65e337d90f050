"""One file a target; `NAMES` are theirs."""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parents[1] / "corpus"

NAMES = tuple(sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py")))
