"""`python -m fuzz TARGET --seconds N`: one target under atheris, which looks for new paths through our
code.

What raises is written beside the corpus as `crash-…`; `python -m fuzz TARGET FILE` repeats it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import atheris

from fuzz.targets import CORPUS, NAMES

_LONGEST = 8_192
"""Bytes of an input."""

_FOUND = 77
"""Exit code of a run with a finding, as libFuzzer has it."""

_SLOWEST_S = 10
"""An input that takes longer is a finding, too."""


def main() -> None:
    """Run one target, for some seconds or over one file."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("file", type=Path, nargs="?", help="repeat this input alone")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--grown", type=Path, default=Path(".fuzz"), help="what the corpus grows to")
    asked = parser.parse_args()
    # The fuzzer ends without leaving any block: what it left is cleared by the next.
    scratch = asked.grown / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    tempfile.tempdir = str(scratch.absolute())
    with atheris.instrument_imports(include=["clickstream", "fuzz"]):
        target = importlib.import_module(f"fuzz.targets.{asked.target}")
    with ExitStack() as servers:
        if asked.target == "lookup":
            servers.enter_context(_servers(target.open_with))
        if asked.file is not None:
            target.check(asked.file.read_bytes())
            return
        _fuzz(asked.target, target.check, asked.seconds, asked.grown)


@contextmanager
def _servers(open_with: Callable[[Any], None]) -> Iterator[None]:
    """Servers of its own for the one target that asks them, and the bundle of CLICKSTREAM_HOME."""
    # Here: what is imported before is not instrumented.
    from clickstream.infra.settings import load_settings
    from clickstream.local.embedded import EmbeddedKafka, EmbeddedValkey

    folder = Path(tempfile.mkdtemp())
    with EmbeddedValkey(folder / "valkey") as valkey, EmbeddedKafka(folder / "kafka") as kafka:
        open_with(load_settings(redis_url=valkey.url, kafka_bootstrap=kafka.bootstrap))
        yield


def _fuzz(name: str, check: Callable[[bytes], None], seconds: int, folder: Path) -> None:
    grown = folder / name
    grown.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_len={_LONGEST}",
        f"-timeout={_SLOWEST_S}",
        f"-artifact_prefix={grown.parent}/{name}-",
        f"-dict={CORPUS.parent / 'words.dict'}",
        "-verbosity=1",
    ]

    begun, runs = time.monotonic(), 0

    def found(data: bytes) -> None:
        nonlocal runs
        if (taken := time.monotonic() - begun) > seconds:
            print(f"{name}: {runs:,} inputs in {taken:.0f} s, nothing found", file=sys.stderr, flush=True)
            # At once: with DuckDB in the process, malloc() finds a corrupted list in libFuzzer's own end. It
            # finds none where the same inputs are read without libFuzzer.
            os._exit(0)
        runs += 1
        try:
            check(data)
        except Exception:  # noqa: BLE001
            file = folder / f"{name}-crash-{hashlib.sha1(data).hexdigest()[:12]}"
            file.write_bytes(data)
            traceback.print_exc()
            print(f"{file} has the input: python -m fuzz {name} {file}", file=sys.stderr, flush=True)
            # At once: libFuzzer's own end can hang in the handlers of an interpreter that ends.
            os._exit(_FOUND)

    atheris.Setup([sys.argv[0], *options, str(grown), str(CORPUS / name)], found)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
