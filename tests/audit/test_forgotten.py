"""The audit of forgotten sessions: their missing score is no loss, and a score of one is a fault."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from scored_log import MINUTE, START, ScoredLog

from clickstream.infra.settings import Settings

SHOPS: dict[str, dict[str, Any]] = {
    "uci553": {},
    "online-store": {"event": "product_view"},
}


def log_of(shop: str, forget: bool = True) -> ScoredLog:
    """One visit is forgotten, two clicks settled and one waiting; a copy, a late one and more follow."""
    log = ScoredLog(Settings(clicks_topic="clicks", group="group", open_scores="each", shop=shop))
    fields = SHOPS[shop]
    for minute in (0, 1, 5):
        log.click("ann", minute, **fields)
        log.click("bob", minute + 0.1, **fields)
    if forget:
        value = orjson.dumps({"type": "forget", "session_id": "ann"})
        log.send(b"ann", value, START + 6 * MINUTE)
    log.click("ann", 5, **fields)
    log.click("ann", 1, **fields)
    log.click("ann", 6, **fields)
    log.heartbeat(60)
    log.publish()
    return log


@pytest.mark.parametrize("shop", SHOPS)
def test_a_run_that_forgot_is_clean_and_one_that_did_not_is_not(shop: str) -> None:
    log = log_of(shop)
    report = log.audit()
    assert report.clean, report.findings
    clicks = {score["score_id"]: score["clicks"] for score in log.contents(log.scores)}
    assert clicks == {f"ann/{START + 5 * MINUTE}": 2, f"bob/{START + 6_000}": 3}
    assert [letter["reason"] for letter in log.contents(log.letters)] == ["late"]
    assert report.clicks == 9
    # The scores of a consumer that did not take the record, against the log that has it.
    log.scores = log_of(shop, forget=False).scores
    assert log.audit().flawed
