"""Logs: readable on a terminal, JSON lines elsewhere; always on standard error.

A line says what happened and where (partition, offsets, owner), never what a click holds.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from clickstream.infra.settings import Settings


def configure(settings: Settings) -> None:
    """Set up structlog once, at the start of a command."""
    terminal = sys.stderr.isatty()
    console = settings.log_format == "console" or (settings.log_format == "auto" and terminal)
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=terminal) if console else structlog.processors.JSONRenderer()
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
        cache_logger_on_first_use=True,
    )


def on_every_line(**values: str) -> None:
    """Say `values` on each further line of this thread."""
    structlog.contextvars.bind_contextvars(**values)


def logger(name: str) -> Any:
    """A logger whose lines carry `name`."""
    return structlog.get_logger(part=name)
