"""Learning session by session, and a state that survives a restart."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from factory import examples as hypothesis_examples
from hypothesis import given
from hypothesis import strategies as st

from clickstream.bundles.bundle import Bundle
from clickstream.features.outcome import Outcome
from clickstream.infra.errors import BundleError
from clickstream.models.case import Case, Example
from clickstream.models.lessons import LESSON
from clickstream.models.matrix import Cases
from clickstream.models.online import OnlineModels

# Run in a process of its own, where strings hash differently.
CONTINUE = """
import json, pickle, sys
from pathlib import Path
from clickstream.bundles.bundle import load_bundle
bundle = load_bundle(Path(sys.argv[1]), Path(sys.argv[1]))
state, examples = pickle.loads(Path(sys.argv[2]).read_bytes())
models = bundle.online(state)
answers = []
for one in examples:
    answers.append(models.predict(one.case))
    models.learn(one.case, one.outcome)
print(json.dumps(answers))
"""


class Reach:
    """Unpickles to whatever a function returns."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def learn(models: OnlineModels, examples: list[Example]) -> list[object]:
    """Predict and learn each; the answers."""
    answers: list[object] = []
    for one in examples:
        answers.append(models.predict(one.case))
        models.learn(one.case, one.outcome)
    return answers


def evident(examples: list[Example]) -> list[Example]:
    return [one for one in examples if one.case.evidence is not None]


def forged(bundle: Bundle, content: object) -> bytes:
    """A state with the right head around `content`."""
    payload = pickle.dumps(content, protocol=5)
    return b"clickstream-online-1 %s 0 %d\n" % (bundle.id.encode(), zlib.crc32(payload)) + payload


@hypothesis_examples(10)
@given(cuts=st.lists(st.integers(0, 120), max_size=4))
def test_restarts_leave_no_trace(bundle: Bundle, examples: list[Example], cuts: list[int]) -> None:
    stayed = bundle.online()
    expected = learn(stayed, examples[:120])
    restarted = bundle.online()
    answers = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 120], strict=True):
        restarted = bundle.online(restarted.state())
        answers += learn(restarted, examples[start:end])
    assert answers == expected
    assert restarted.lessons == stayed.lessons == 120
    assert restarted.state() == stayed.state()


def test_another_process_answers_the_same_to_the_last_bit(
    bundle: Bundle, examples: list[Example], tmp_path: Path
) -> None:
    models = bundle.online()
    learn(models, examples[:100])
    handed = tmp_path / "handed"
    handed.write_bytes(pickle.dumps((models.state(), examples[100:200])))
    found = subprocess.run(
        [sys.executable, "-c", CONTINUE, str(bundle.path), str(handed)],
        env=os.environ | {"PYTHONHASHSEED": "3"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(found.stdout) == json.loads(json.dumps(learn(models, examples[100:200])))


def test_a_fresh_copy_is_the_warm_start(bundle: Bundle, examples: list[Example]) -> None:
    learn(bundle.online(), examples[:50])
    fresh = bundle.online()
    assert fresh.lessons == 0
    assert fresh.bundle_id == bundle.id
    assert fresh.state() == bundle.online().state()


def test_predicting_teaches_nothing(bundle: Bundle, examples: list[Example]) -> None:
    models = bundle.online()
    before = [models.predict(one.case) for one in examples[:50]]
    assert [models.predict(one.case) for one in examples[:50]] == before
    assert models.lessons == 0


def test_what_was_predicted_before_does_not_change_what_is_learned(
    bundle: Bundle, examples: list[Example]
) -> None:
    asked, silent = bundle.online(), bundle.online()
    for one, other in zip(evident(examples)[:50], evident(examples)[50:100], strict=True):
        asked.predict(one.case)
        for models in (asked, silent):
            models.learn(other.case, other.outcome)
            models.learn(one.case, one.outcome)
    cases = [one.case for one in examples[:200]]
    assert [asked.predict(case) for case in cases] == [silent.predict(case) for case in cases]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("first", [0, 7])
def test_cases_that_were_announced_are_answered_and_learned_as_one_by_one(
    bundle: Bundle, examples: list[Example], first: int, together: bool
) -> None:
    announced, alone = bundle.online(), bundle.online()
    for models in (announced, alone):
        learn(models, examples[300 : 300 + first])
    cases = [one.case for one in examples[:100]]
    if together:
        # What they look at was read by the models of another partition, among cases of its own.
        table = bundle.online().tabled(Cases([one.case for one in examples[150:190]] + cases))
        announced.expect(cases, table, 40)
    else:
        announced.expect(cases)
    # What nobody announced comes between them, and some are passed over.
    mixed = [*examples[:40], *examples[200:210], *examples[50:100]]
    assert learn(announced, mixed) == learn(alone, mixed)
    assert announced.state() == alone.state()


def test_lessons_move_the_answers_towards_what_happened(bundle: Bundle, examples: list[Example]) -> None:
    case = evident(examples)[0].case
    models = bundle.online()
    before = models.predict(case)
    for _ in range(LESSON):
        models.learn(case, Outcome(True, 90.0))
    after = models.predict(case)
    assert after.conversion > before.conversion
    assert (after.revenue or 0.0) > (before.revenue or 0.0)


def test_answers_stay_until_a_lesson_is_full(bundle: Bundle, examples: list[Example]) -> None:
    case = evident(examples)[0].case
    models = bundle.online()
    for _ in range(2):
        before = models.predict(case)
        for one in evident(examples)[: LESSON - 1]:
            models.learn(one.case, one.outcome)
            assert models.predict(case) == before
        models.learn(case, Outcome(True, 90.0))
        assert models.predict(case) != before


def test_without_evidence_only_the_clusters_learn(bundle: Bundle, examples: list[Example]) -> None:
    alone = next(one for one in examples if one.case.evidence is None)
    case = evident(examples)[0].case
    models = bundle.online()
    before = models.predict(case)
    state = models.state()
    for _ in range(LESSON):
        models.learn(alone.case, alone.outcome)
    assert models.predict(case)[:2] == before[:2]
    assert models.lessons == LESSON
    assert models.state() != state


def test_one_absurd_price_does_not_bend_the_models(bundle: Bundle, examples: list[Example]) -> None:
    case = evident(examples)[0].case
    absurd = dict.fromkeys(("mean_price", "max_price", "std_price", "last_price"), 1e9)
    models = bundle.online()
    before = models.predict(case)
    models.learn(Case({**(case.evidence or {}), **absurd}, {**case.whole, **absurd}), Outcome(True, 1e9))
    models.end_lesson()
    after = models.predict(case)
    assert after.conversion == pytest.approx(before.conversion, abs=0.1)
    assert after.revenue == pytest.approx(before.revenue, rel=0.3)


def test_a_state_is_small(bundle: Bundle) -> None:
    assert len(bundle.online().state()) < 40_000


def test_a_state_of_another_bundle_is_refused_with_both_names(bundle: Bundle) -> None:
    other = "20080401T000000Z-00000000"
    state = bundle.online().state().replace(bundle.id.encode(), other.encode(), 1)
    with pytest.raises(BundleError, match=f"{other}.*{bundle.id}"):
        bundle.online(state)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"\n",
        lambda state: state[: len(state) // 2],
        lambda state: state[:-1],
        lambda state: state + b"x",
        lambda state: state[:500] + bytes([state[500] ^ 1]) + state[501:],
        lambda state: state.replace(b"online-1", b"online-2", 1),
        lambda _: pickle.dumps(Reach(os.getpid)),
    ],
)
def test_a_damaged_state_is_refused(bundle: Bundle, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BundleError) as caught:
        bundle.online(damage(bundle.online().state()))
    assert caught.value.remedy


@pytest.mark.parametrize(
    "function",
    [os.mkdir, os.system, subprocess.Popen, importlib.import_module, eval, getattr, pickle.loads],
    ids=lambda function: function.__name__,
)
def test_a_class_that_the_bundle_does_not_hold_is_never_resolved(
    bundle: Bundle, tmp_path: Path, function: Callable[..., Any]
) -> None:
    mark = tmp_path / "reached"
    with pytest.raises(BundleError, match=f"refers to .*{function.__name__}"):
        bundle.online(forged(bundle, Reach(function, str(mark))))
    assert not mark.exists()


@pytest.mark.parametrize("content", [None, {}, (1, 2, 3, 4), ({}, {}, {}, {}), "models"])
def test_something_other_than_the_models_is_refused(bundle: Bundle, content: object) -> None:
    with pytest.raises(BundleError, match="other than the three models"):
        bundle.online(forged(bundle, content))


@pytest.mark.parametrize("row", [(1,), 7, ("a", "b", "c", "d", "e", "f")], ids=repr)
def test_a_lesson_of_something_other_than_sessions_is_refused(bundle: Bundle, row: object) -> None:
    *learned, _ = bundle.online().models()
    with pytest.raises(BundleError, match="the lesson of the online models cannot be read"):
        bundle.online(forged(bundle, (*learned, [row])))


def test_bytes_that_are_no_pickle_are_refused(bundle: Bundle) -> None:
    payload = b"\x80\x05garbage"
    head = b"clickstream-online-1 %s 0 %d\n" % (bundle.id.encode(), zlib.crc32(payload))
    with pytest.raises(BundleError, match="cannot be read"):
        bundle.online(head + payload)


def test_the_allowed_classes_can_build_models_and_nothing_else(bundle: Bundle) -> None:
    functions = []
    for module, name in bundle.manifest.online_classes:
        found = getattr(importlib.import_module(module), name)
        if not isinstance(found, type):
            functions.append(name)
        assert module.split(".")[0] in {"river", "numpy", "collections"} or found is float
    # How numpy reads an array from bytes; it runs nothing.
    assert functions == ["_frombuffer"]
