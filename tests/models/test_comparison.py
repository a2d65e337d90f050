"""Two bundles on the same sessions: which of them may be used for it, and which bundle is better."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Sequence

import numpy as np
import pytest

from clickstream.bundles.bundle import Bundle, Manifest
from clickstream.features.vector import Features
from clickstream.infra.errors import InputError
from clickstream.models.case import Floats
from clickstream.models.evaluation import EVALUATION, Evaluation
from clickstream.models.reasons import Attribution
from clickstream.training.comparison import UnseenSessions, compare, unseen
from clickstream.training.split import held_out
from clickstream.training.training import TrainingSession

SHA = "0" * 64
"""Of the sessions that the bundle was trained on."""


class Shifted:
    """The batch models of a bundle, each probability moved: a little or a lot worse."""

    def __init__(self, bundle: Bundle, by: float) -> None:
        self._models, self._by = bundle.fitted["batch"], by
        self.artefact = self._models.artefact

    def predict(self, rows: Sequence[Features]) -> tuple[Floats, Floats | None]:
        conversion, revenue = self._models.predict(rows)
        assert revenue is not None
        return np.clip(conversion + self._by, 0.001, 0.999), revenue + self._by

    def attribution(self, row: Features) -> Attribution:
        return self._models.attribution(row)


def shifted(bundle: Bundle, by: float) -> Bundle:
    """The bundle with other batch models."""
    made = copy.copy(bundle)
    made.fitted = {**bundle.fitted, "batch": Shifted(bundle, by)}
    return made


def trained(manifest: Manifest, **split: object) -> Manifest:
    """As if on other data."""
    data = manifest.data.model_copy(update={"sha256": "1" * 64})
    return manifest.model_copy(update={"data": data, "split": manifest.split.model_copy(update=split)})


@pytest.fixture
def fresh(bundle: Bundle, shop: list[TrainingSession]) -> UnseenSessions:
    return unseen(shop, SHA, bundle.manifest)


def test_of_the_data_that_a_bundle_was_trained_on_it_is_judged_on_what_it_held_out(
    bundle: Bundle, shop: list[TrainingSession], fresh: UnseenSessions
) -> None:
    out = held_out([session.day for session in shop], "time", bundle.manifest.seed)
    assert fresh.sessions == [session for session, held in zip(shop, out, strict=True) if held]
    assert len(fresh.sessions) == bundle.manifest.split.held_out_sessions
    assert fresh.notes == []


def test_no_session_counts_that_either_bundle_has_learned_from(
    bundle: Bundle, shop: list[TrainingSession], fresh: UnseenSessions
) -> None:
    later = fresh.sessions[0].day + datetime.timedelta(14)
    newer = trained(bundle.manifest, held_out_from=later)
    both = unseen(shop, SHA, bundle.manifest, newer)
    assert both.sessions == [session for session in shop if session.day >= later]
    assert unseen(shop, SHA, newer, bundle.manifest).sessions == both.sessions


def test_what_cannot_be_known_to_be_unseen_is_said(bundle: Bundle, shop: list[TrainingSession]) -> None:
    anywhere = trained(bundle.manifest, kind="random", held_out_from=None)
    found = unseen(shop, SHA, anywhere)
    assert found.sessions == shop
    assert anywhere.id in found.notes[0]
    assert "may know some of these" in found.notes[0]


def test_a_bundle_is_not_better_than_itself(bundle: Bundle, fresh: UnseenSessions) -> None:
    found = compare(bundle, bundle, fresh)
    assert not found.other_is_better
    assert not found.one_is_better
    assert all(
        (one.difference.low, one.difference.high) == (0, 0)
        for figures in found.figures.values()
        for one in figures.values()
    )


def test_the_figures_are_those_that_the_training_found(bundle: Bundle, fresh: UnseenSessions) -> None:
    """On the sessions that both held out, the same answers give the same figures."""
    found = compare(bundle, bundle, fresh)
    for scorer, figures in found.figures.items():
        for name, one in figures.items():
            assert one.one == pytest.approx(bundle.manifest.figures[scorer][name], abs=1e-9), (scorer, name)


def test_a_worse_bundle_loses_and_a_better_one_wins(bundle: Bundle, fresh: UnseenSessions) -> None:
    worse = shifted(bundle, 0.4)
    assert compare(worse, bundle, fresh).other_is_better
    assert not compare(bundle, worse, fresh).other_is_better
    assert compare(bundle, worse, fresh).one_is_better


def test_the_interval_of_a_difference_is_that_of_pairs(bundle: Bundle, fresh: UnseenSessions) -> None:
    """Two bundles err on the same sessions; drawn apart, their difference would be lost in that."""
    apart = compare(shifted(bundle, 0.2), bundle, fresh).figures["batch"]["mae"].difference
    evaluation = Evaluation.model_validate_json((bundle.path / EVALUATION).read_bytes())
    alone = evaluation.figures["batch"]["mae"]
    assert 0 < apart.high - apart.low < (alone.high - alone.low) / 4


def test_too_few_sessions_are_refused_with_their_number(bundle: Bundle, fresh: UnseenSessions) -> None:
    with pytest.raises(InputError, match="100 are needed"):
        compare(bundle, bundle, UnseenSessions(fresh.sessions[:60], []))
