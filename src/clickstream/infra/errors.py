"""The error tree: what failed, whether trying again can help, what the operator should do.

Every error that leaves a module of ours is one of these. The command line prints `what` and `remedy` and
exits with `exit_code` (the numbers are those of sysexits.h, so that a supervisor can tell them apart).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager


class ClickstreamError(Exception):
    """Something failed in a way that we understand.

    `what` names the thing and the value, `remedy` says what a person can do about it.
    """

    exit_code = 70
    retriable = False

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n{self.remedy}" if self.remedy else self.what


class UsageError(ClickstreamError):
    """The words of a command contradict each other."""

    exit_code = 64


class InputError(ClickstreamError):
    """A file or a record is not what it should be."""

    exit_code = 65


class MissingFileError(ClickstreamError):
    """A file that a command needs is not there."""

    exit_code = 66


class BundleError(ClickstreamError):
    """A model bundle is missing, damaged, or made for something else. Nothing of it was loaded."""

    exit_code = 65


class UnavailableError(ClickstreamError):
    """A server did not answer in time. Nothing is lost; trying again can help."""

    exit_code = 69
    retriable = True


class FencedError(ClickstreamError):
    """Another process took over this one's identity or partitions."""

    exit_code = 75
    retriable = True


class RefusedError(ClickstreamError):
    """Going on would lose or repeat results: the state found contradicts the settings or the log."""

    exit_code = 78


class ConfigurationError(ClickstreamError):
    """A setting, or a server's configuration, cannot work."""

    exit_code = 78


class StorageError(ClickstreamError):
    """The machine's disk, or a file system of it, did not take or give what a command needs."""

    exit_code = 74


_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space, or name a folder on another disk.",
    errno.EDQUOT: "This user's quota is used up: free some space, or name a folder elsewhere.",
    errno.EFBIG: "The file would be larger than this file system or `ulimit -f` allows.",
    errno.EROFS: "It is on a read-only file system: name a folder that can be written, as with --home.",
    errno.EACCES: "This user may not: name another place, or change the permissions.",
    errno.EPERM: "This user may not: name another place, or change the permissions.",
    errno.ENOENT: "It is not there: check the path.",
    errno.ENOTDIR: "A part of this path is a file where a folder is needed: name another place.",
    errno.EISDIR: "It is a folder where a file is needed: name a file.",
    errno.EEXIST: "Something else has this name: name another place.",
    errno.ENAMETOOLONG: "Name a shorter path.",
    errno.ELOOP: "Its links lead in a circle: name another place.",
    errno.EMFILE: "This process may open no more files: raise `ulimit -n`.",
    errno.ENFILE: "The machine has no more open files to give: end other programs.",
    errno.ENOMEM: "The machine is out of memory: end other programs.",
    errno.EIO: "The disk or the terminal failed: see the system's log.",
    errno.ETXTBSY: "A running program is in this file: name another one.",
    errno.ESTALE: "The network file system lost it: mount it anew.",
}


def of_system(error: OSError) -> ClickstreamError | None:
    """What the system refused, with the path and what a person can do; None where it is none of these."""
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else None
    what = f"{path}: {error.strerror}" if path else str(error.strerror)
    kind = MissingFileError if error.errno == errno.ENOENT else StorageError
    return kind(what, remedy)


def is_of_system(error: Exception) -> bool:
    """Whether it is the system that refused something, and not what was read that is wrong."""
    return isinstance(error, OSError) and of_system(error) is not None


@contextmanager
def about(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say of `path` what the system refuses in the block without naming a file, as a write to an open one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename, error.strerror = os.fspath(path), os.strerror(error.errno)
        raise


def in_words_of_system(text: str, path: str | os.PathLike[str]) -> ClickstreamError | None:
    """What a library says that the system refused, by its words alone; None where it is none of these."""
    for number in _REMEDIES:
        if os.strerror(number) in text:
            return of_system(OSError(number, os.strerror(number), os.fspath(path)))
    return None
