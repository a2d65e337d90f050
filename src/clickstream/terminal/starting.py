"""What holds while a command is imported. Imports nothing that takes time: it is there to be early.

Importing a command takes a second or two, and a signal that comes meanwhile would end it by that signal, or
with a traceback out of a library. For a command that goes on until it is stopped, that is a stop like any
other.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Exit code of a stop, of the commands that go on until one, or have servers to end.
_STOPPED = {"consume": 0, "top": 0, "models watch": 0, "scores tail": 0, "up": 0, "demo": 130}

# What these do first is to set handlers for both: until then ours stay.
_TAKE_OVER = ("consume", "top", "models watch")


def leave_when_asked(code: int = 0) -> None:
    """End at once at Ctrl-C or SIGTERM, while there is nothing yet that must be ended in order.

    Not by an exception: one that is raised inside an import, or in a callback of a library, can be lost.
    """
    for sign in _SIGNALS:
        signal.signal(sign, lambda *_: os._exit(code))


@contextmanager
def stoppable_imports(words: Sequence[str]) -> Iterator[None]:
    """While the command that `words` name is imported, a stop ends it as it ends it later."""
    name = next((n for n in (" ".join(words[:1]), " ".join(words[:2])) if n in _STOPPED), None)
    if name is None:
        yield
        return
    before = {sign: signal.getsignal(sign) for sign in _SIGNALS}
    leave_when_asked(_STOPPED[name])
    try:
        yield
    finally:
        if name not in _TAKE_OVER:
            for sign, handler in before.items():
                signal.signal(sign, handler)


@contextmanager
def without_pandas() -> Iterator[None]:
    """While a command is imported there is no pandas.

    scikit-learn imports it wherever it is installed, and uses it nowhere: a sixth of a start, and 60 MB.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    if "pandas" in modules:
        yield
        return
    modules["pandas"] = None
    try:
        yield
    finally:
        del modules["pandas"]
