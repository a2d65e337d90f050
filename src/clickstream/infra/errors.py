"""The error tree: what failed, whether trying again can help, what the operator should do.

Every error that leaves a module of ours is one of these. The command line prints `what` and `remedy` and
exits with `exit_code` (the numbers are those of sysexits.h, so that a supervisor can tell them apart).
"""

from __future__ import annotations


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
