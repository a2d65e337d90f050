"""Extras: libraries that only some commands need, and what is said where one is missing."""

from __future__ import annotations

import importlib.util
from typing import Literal

from clickstream.infra.errors import ConfigurationError

Extra = Literal["dashboard", "fast", "history", "local", "onnx", "report", "s3", "serve", "spark"]


def need_history(what: str) -> None:
    """Check that the libraries are there that read logs of any size. Args and errors as of `need`."""
    need("history", what, "duckdb", "pyarrow")


def need(extra: Extra, what: str, *modules: str, otherwise: str = "") -> None:
    """Check that the modules of an extra are there, before any work is done that needs them.

    Args:
        what: that needs them, for the message.
        otherwise: what else can be done.

    Raises:
        ConfigurationError: one is missing; says how to install the extra.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        listed, are = ", ".join(missing), "is" if len(missing) == 1 else "are"
        raise ConfigurationError(
            f"{what} needs {listed}, which {are} not installed",
            f"Install the extra: pip install 'clickstream-scoring[{extra}]'.{otherwise and ' ' + otherwise}",
        )
