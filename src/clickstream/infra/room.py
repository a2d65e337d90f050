"""Whether a folder takes files, asked before the work whose result goes there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_PROBE_BYTES = 16 * 2**20
"""More than a bundle with its reports takes."""


def check_room(folder: Path) -> None:
    """Write a file into `folder`, which is made where it lacks, and delete it again.

    Raises:
        OSError: the folder cannot be made or written, or the disk is full; with the path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".room-", dir=folder) as file:
        try:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(folder)) from error
