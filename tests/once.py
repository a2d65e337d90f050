"""What takes long to make and is only read: made by one of the processes that share out the tests."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")


def once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[], T]) -> T:
    """What `make` gives: of this process, or of another one that made it first, read back from a pickle.

    `name` is that of one thing in the whole suite.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make()
    # Below the folder that all processes of a run share.
    kept = tmp_path_factory.getbasetemp().parent / f"once-{name}.pickle"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            made: T = pickle.loads(kept.read_bytes())
            return made
        made = make()
        partly = kept.with_suffix(".part")
        partly.write_bytes(pickle.dumps(made))
        partly.replace(kept)
        return made
