"""Logs: readable on a terminal, JSON lines elsewhere; always on standard error.

A line says what happened and where (partition, offsets, owner), never what a click holds.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from clickstream.infra.errors import ClickstreamError
from clickstream.infra.settings import Settings


def configure(settings: Settings) -> None:
    """Set up structlog once, at the start of a command."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if _as_json(settings)
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _as_json(settings: Settings) -> bool:
    return settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())


@contextmanager
def last_words(settings: Settings) -> Iterator[None]:
    """Where lines are JSON, an error that ends the block is one, and then the process ends, with its code.

    For a person it goes on: the command line says it in words.
    """
    try:
        yield
    except Exception as error:
        if not _as_json(settings):
            raise
        if isinstance(error, ClickstreamError):
            code = error.exit_code
            logger("command").error("ended", error=error.what, remedy=error.remedy, code=code)
        else:
            # A bug. The code is Python's own for what nobody caught.
            code = 1
            logger("command").error("ended", error=type(error).__name__, code=code, exc_info=True)
        sys.exit(code)


def on_every_line(**values: str) -> None:
    """Add `values` to each further line of this thread."""
    structlog.contextvars.bind_contextvars(**values)


def logger(name: str) -> Any:
    """A logger whose lines carry `name`."""
    return structlog.get_logger(part=name)
