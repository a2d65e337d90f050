from __future__ import annotations

from clickstream.local.broker import _is_retired

ACTIVE = "900 [QuorumController id=1] Performing controller activation.\n"


def idle_round(at: int) -> str:
    return (
        f"{at} [QuorumController id=1] Completing read-only operation maybeFenceStaleBroker(1)"
        " immediately because the purgatory is empty.\n"
    )


def test_a_broker_is_retired_once_the_controller_is_idle_after_its_session() -> None:
    assert not _is_retired("")
    assert not _is_retired(ACTIVE)
    assert not _is_retired(ACTIVE + idle_round(950))
    assert _is_retired(ACTIVE + idle_round(950) + idle_round(1101))


def test_a_controller_that_still_waits_for_its_records_is_not_idle() -> None:
    waiting = (
        "1200 [QuorumController id=1] Read-only operation maybeFenceStaleBroker(1) will be completed when"
        " the purgatory reaches offset 30\n"
    )
    assert not _is_retired(ACTIVE + waiting)
