"""Commands that go on until they are stopped listen, however they were started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from clickstream.terminal.stopping import asked_once, asked_to_stop, interruptible

WISHES = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def ignored() -> Iterator[None]:
    """Both signals ignored, as SIGINT is in a background job of a script."""
    before = {sign: signal.signal(sign, signal.SIG_IGN) for sign in WISHES}
    yield
    for sign, handler in before.items():
        signal.signal(sign, handler)


@pytest.mark.usefixtures("ignored")
@pytest.mark.parametrize("sign", WISHES)
def test_a_signal_that_the_shell_had_ignored_interrupts_the_block_and_is_ignored_after_it(
    sign: signal.Signals,
) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), sign)
    os.kill(os.getpid(), sign)
    assert signal.getsignal(sign) is signal.SIG_IGN


@pytest.mark.usefixtures("ignored")
@pytest.mark.parametrize("sign", WISHES)
def test_a_signal_that_the_shell_had_ignored_asks_to_stop(sign: signal.Signals) -> None:
    asked = asked_to_stop()
    assert not asked.is_set()
    os.kill(os.getpid(), sign)
    assert asked.wait(5)


@pytest.mark.usefixtures("ignored")
def test_the_first_wish_is_noted_and_the_second_interrupts() -> None:
    told: list[str] = []
    asked = asked_once(also=lambda: told.append("noted"))
    os.kill(os.getpid(), signal.SIGINT)
    assert asked.wait(5)
    assert told == ["noted"]
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
