"""Every fuzz target over its corpus, and over some inputs made of it; `make fuzz` looks on for minutes."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from factory import examples
from hypothesis import given
from hypothesis import strategies as st

from clickstream.infra.settings import Settings
from fuzz.targets import CORPUS, NAMES

PURE = [name for name in NAMES if name != "lookup"]
WORDS = [
    ast.literal_eval(f"b{line}")
    for line in (CORPUS.parent / "words.dict").read_text().splitlines()
    if line.startswith('"')
]


def seeds(name: str) -> list[bytes]:
    """The corpus of a target."""
    return [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]


def check_of(name: str) -> Callable[[bytes], None]:
    check: Callable[[bytes], None] = importlib.import_module(f"fuzz.targets.{name}").check
    return check


@st.composite
def inputs(draw: st.DrawFn, corpus: Sequence[bytes]) -> bytes:
    """One of the corpus, with some of its bytes replaced."""
    data = bytearray(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=4) | st.sampled_from(WORDS))
    return bytes(data)


@pytest.mark.parametrize("name", PURE)
def test_nothing_in_the_corpus_is_a_finding(name: str) -> None:
    for data in seeds(name):
        check_of(name)(data)


@pytest.mark.parametrize("name", PURE)
@given(data=st.data())
@examples(100)
def test_nothing_that_is_like_the_corpus_is_a_finding(name: str, data: st.DataObject) -> None:
    check_of(name)(data.draw(inputs(seeds(name))))


@pytest.mark.integration
def test_nothing_that_is_asked_of_the_look_up_is_a_finding(
    settings: Settings, synthetic_bundle: Path
) -> None:
    from fuzz.targets import lookup

    lookup.open_with(settings.model_copy(update={"bundle": str(synthetic_bundle)}))
    for data in seeds("lookup"):
        lookup.check(data)

    @given(inputs(seeds("lookup")))
    @examples(100)
    def ask(data: bytes) -> None:
        lookup.check(data)

    ask()
