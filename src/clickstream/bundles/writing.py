"""A bundle comes to its folder whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path


def write_whole(folder: Path, bundle_id: str, files: Mapping[str, bytes]) -> None:
    """Write the files of a bundle, in one atomic step.

    Raises:
        OSError: the disk is full, the folder cannot be written, or the bundle is there already. Nothing is
            left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, draft, ignore_errors=True)
        for name, content in files.items():
            with (draft / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        # mkdtemp makes a folder for the owner alone; a consumer may run as somebody else.
        draft.chmod(0o755)
        draft.rename(folder / bundle_id)
        undo.pop_all()
