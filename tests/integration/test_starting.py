"""A stop that comes while a command is still being imported, or starts, is a stop like any other."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from shop import Shop, wait_for

pytestmark = pytest.mark.integration


def imports(pid: int, library: str) -> bool:
    """Whether the process has come as far as the compiled part of a library."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
            return library in maps.read()
    except OSError:
        pytest.skip("needs /proc")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("words", [["consume"], ["top"], ["models", "watch"]])
def test_a_stop_while_a_command_is_imported_ends_it_with_0_and_without_a_word(
    words: list[str], sign: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "clickstream", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    wait_for(lambda: imports(process.pid, "pydantic_core"), "it imports")
    process.send_signal(sign)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, b"")


@pytest.mark.parametrize("library", ["pydantic_core", "numpy", "sklearn", "river", "lz4"])
def test_a_consumer_stopped_at_any_moment_of_its_start_ends_with_0(shop: Shop, library: str) -> None:
    consumer = shop.consumer()
    wait_for(lambda: imports(consumer.pid, library), f"it imports {library}")
    assert consumer.stop() == 0, consumer.last_words()
    assert "Traceback" not in consumer.last_words()
