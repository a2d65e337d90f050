"""Where the dataset is, when nobody said."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDERS = (Path("data"), Path("../shared/data"))
_NAMES = ("*lickstream*.zip", "e-shop*.zip", "e-shop*.csv")


def find_dataset(given: Path | None) -> Path | None:
    """The path given, else $CLICKSTREAM_DATA, else the first e-shop file in `data/` or `../shared/data/`."""
    if given is not None:
        return given
    if named := os.environ.get("CLICKSTREAM_DATA"):
        return Path(named)
    found = (path for folder in _FOLDERS for name in _NAMES for path in sorted(folder.glob(name)))
    return next(found, None)
