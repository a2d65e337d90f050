"""Where the dataset is, when nobody said; and the examples."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDERS: tuple[Path, ...] = (Path("data"), Path("../shared/data"))
# In a wheel beside the code, in a checkout at its top.
_EXAMPLES: tuple[Path, ...] = (Path(__file__).parents[1], Path(__file__).parents[3])
_NAMES = ("*lickstream*.zip", "e-shop*.zip", "e-shop*.csv")


def find_dataset(given: Path | None) -> Path | None:
    """The path given, else $CLICKSTREAM_DATA, else the first e-shop file in `data/` or `../shared/data/`.

    The variable names a file, or a folder to search.
    """
    if given is not None:
        return given
    folders = _FOLDERS
    if named := os.environ.get("CLICKSTREAM_DATA"):
        path = Path(named)
        if not path.is_dir():
            return path
        folders = (path,)
    found = (path for folder in folders for name in _NAMES for path in sorted(folder.glob(name)))
    return next(found, None)


def find_example(name: str) -> Path | None:
    """The folder of an example; None where it was not installed."""
    return next((p for place in _EXAMPLES if (p := place / "examples" / name).is_dir()), None)
