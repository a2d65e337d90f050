"""Files that are written whole: a reader finds the former content or the new one, never a half."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from clickstream.infra.errors import about


def replace_file(path: Path, content: bytes) -> None:
    """Write `path` in one atomic step: a reader finds the former content or this, also after a crash.

    Raises:
        OSError: the folder cannot be written. The former content stands, and nothing is left behind.
    """
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when the block ends well, in one atomic step.

    A link stays, and what it leads to is written. What is no file, as a device, a pipe or a socket's end, is
    written through: to put a file in its place would destroy it.

    Raises:
        OSError: it is a folder, or the folder around it cannot be written. The former content stands, and
            nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    if not can_be_replaced(target):
        with target.open("wb") as file:
            yield file
        return
    handle, draft = tempfile.mkstemp(prefix=f".{target.name[:200]}-", dir=target.parent)
    try:
        with about(target), os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes a file for the owner alone; a consumer may run as somebody else.
        os.chmod(draft, 0o644)
        os.replace(draft, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise


def can_be_replaced(path: Path) -> bool:
    """Whether a file can take the place of `path`: nothing is there, or a regular file, or a link to one.

    Raises:
        IsADirectoryError: it is a folder.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return True
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return stat.S_ISREG(mode)
