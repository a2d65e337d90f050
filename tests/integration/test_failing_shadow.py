"""A candidate that breaks while it rides along takes nothing with it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from shop import Shop, plan_of

from clickstream.bundles.bundle import Bundle, Case, ScorerOutput, load_bundle
from clickstream.consumer.assembly import open_engine

pytestmark = pytest.mark.integration


def test_the_stream_goes_on_exactly_once_without_a_shadow_that_breaks(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = shop.settings.model_copy(update={"max_poll_records": 100})
    plan = plan_of(settings, 400)
    shop.publish(plan)
    candidate = load_bundle(settings)
    asked: list[int] = []

    def broken(cases: Sequence[Case]) -> list[dict[str, ScorerOutput]]:
        asked.append(len(cases))
        if len(asked) > 3:
            raise RuntimeError("a bug of the candidate")
        return Bundle.predict(candidate, cases)

    monkeypatch.setattr(candidate, "predict", broken)
    engine = open_engine(settings, load_bundle(settings), shadow=candidate)
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        shop.drain()
    finally:
        engine.stop()
        thread.join(30)
    assert not thread.is_alive()
    assert len(asked) == 4
    assert engine.shadow is not None
    assert not engine.shadow.rides
    found = {(sample.name, *sample.labels): sample.value for sample in engine.shadow.samples()}
    assert found["clickstream_shadow_info", candidate.id] == 0
    assert found["clickstream_shadow_failures_total",] == asked[-1]
    assert engine.counters.recoveries == 0
    report = shop.audit()
    assert report.clean, report
    assert report.scored == len(shop.scores()) == plan.schedule.session_count
