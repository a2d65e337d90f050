"""Scores the sessions of a web shop while they happen: the names that other programs may import.

What is not listed here may change with any version. Importing this package loads nothing else: each name is
loaded when it is first used, so a program that folds sessions does not wait for scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clickstream.audit.run import run_audit
    from clickstream.bundles.bundle import Bundle, load_bundle
    from clickstream.consumer.assembly import open_engine
    from clickstream.consumer.engine import Engine
    from clickstream.features.session import Session
    from clickstream.infra.settings import Settings
    from clickstream.offline.scoring import score_file
    from clickstream.records.score import Score
    from clickstream.records.shop_click import click_model
    from clickstream.records.shops import load_shop
    from clickstream.windows.partition import Partition
    from clickstream.windows.rules import Rules

__all__ = [
    "Bundle",
    "Engine",
    "Partition",
    "Rules",
    "Score",
    "Session",
    "Settings",
    "click_model",
    "load_bundle",
    "load_shop",
    "open_engine",
    "run_audit",
    "score_file",
]

_HOMES = {
    "Bundle": "bundles.bundle",
    "Engine": "consumer.engine",
    "Partition": "windows.partition",
    "Rules": "windows.rules",
    "Score": "records.score",
    "Session": "features.session",
    "Settings": "infra.settings",
    "click_model": "records.shop_click",
    "load_bundle": "bundles.bundle",
    "open_engine": "consumer.assembly",
    "load_shop": "records.shops",
    "run_audit": "audit.run",
    "score_file": "offline.scoring",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("clickstream-scoring")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
