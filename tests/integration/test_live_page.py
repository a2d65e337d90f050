"""The page *Live* and the subscription behind it, on real servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from dashboard_pages import alone, parsed, shown, words
from shop import Shop, plan_of, stop, wait_for
from streamlit.testing.v1 import AppTest

from clickstream.dashboard.feed import Feed
from clickstream.features.shop import UCI553
from clickstream.infra.kafka import Producer, partition_for
from clickstream.infra.settings import Settings, as_environment
from clickstream.local.embedded import EmbeddedKafka
from clickstream.records.score import Score

__all__ = ["alone"]

pytestmark = pytest.mark.integration


def test_live_shows_the_scores_of_a_stream(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(shop.settings, monkeypatch)
    at = shown("live")
    wait_for(lambda: f"no consumer: group {shop.settings.group} is empty" in words(at.run()), "it says so")
    consumer = shop.consumer()
    wait_for(
        lambda: (
            "no consumer" not in words(at.run())
            and f"topic {shop.settings.clicks_topic} is empty" in words(at)
        ),
        "it says that there is a consumer and no click",
    )
    shop.publish(plan_of(shop.settings, 200))
    shop.drain(consumer)

    def tiles() -> dict[str, str]:
        return {tile.label: str(tile.value) for tile in at.run().metric}

    wanted = {"Scored since you look": "200", "Lag, records": "0", "Dead letters": "0", "Open sessions": "0"}
    wait_for(lambda: wanted.items() <= tiles().items(), "all is scored and shown")
    scores = [Score.model_validate(score, strict=False) for score in shop.scores()]
    mean = sum(score.predictions.model_dump()["batch"]["conversion"] for score in scores) / 200
    at.segmented_control(key="view").set_value("Closed sessions").run()
    (batch, *_) = at.dataframe[0].value.to_dict("records")
    assert (batch["scorer"], batch["conversion"]) == ("batch", f"{mean:.1%}")
    assert len(at.dataframe[2].value) == 50
    stop(consumer)


def test_an_open_session_is_shown_by_its_chance_and_click_by_click_until_it_closes(
    own: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(own.settings, monkeypatch)
    begun, partition = 1_767_225_600_000, partition_for(b"a*b*", own.topic.partitions)

    def send(session_id: str, events: Sequence[str], since: int = 0) -> None:
        # All to one partition, so that they share a clock.
        own.send_all(
            (partition, session_id.encode(), value, time)
            for time, value in (
                (begun + 1_000 * number, click(session_id, event, begun + 1_000 * number))
                for number, event in enumerate(events, since)
            )
        )

    looking = ("home", "search")
    buying: tuple[str, ...] = ("home", "product_view", "add_to_cart", "checkout")
    send("a*b*", buying)
    send("other", looking)
    consumer = own.consumer()
    own.drain(consumer)
    at = shown("live")

    def rows() -> list[dict[Any, Any]]:
        return table(at.run(), "at stake")

    wait_for(lambda: [row["session"] for row in rows()] == ["a*b*", "other"], "the likelier one is the first")
    likely, other = rows()
    assert likely["batch"] > other["batch"]
    assert likely["at stake"] > other["at stake"] > 0

    def told() -> list[dict[Any, Any]]:
        return table(at.run(), "conv. batch")

    at.text_input(key="session").set_value("a*b*").run()
    wait_for(lambda: [one["event"] for one in told()] == list(buying), "its clicks are told")
    assert told()[-1]["conv. batch"] == pytest.approx(100 * likely["batch"])
    assert "a*b*" not in parsed(at), "a session id is text"
    # It moves the watermark beyond the next one, which is refused: it meets the goal, and comes too late.
    send("third", ("home",), since=200)
    own.drain(consumer)
    send("a*b*", ("home", "home"), since=150)
    send("a*b*", ("purchase",), since=20)
    own.drain(consumer)
    buying = (*buying, "home", "home")
    wait_for(lambda: [one["event"] for one in told()] == list(buying), "the late purchase is left out")
    send("a*b*", ("purchase",), since=160)
    wait_for(lambda: [one["event"] for one in told()] == [*buying, "purchase"], "the story grows")
    assert any(tile.label.startswith("Converted") for tile in at.metric)

    own.send(partition, None, flush(begun + 300_000), begun + 300_000)
    wait_for(lambda: any("closed, and converted" in info.value for info in at.run().info), "its end is told")
    assert "closed by flush" in words(at)
    assert len(told()) == 7, "what was seen of it stays"
    stop(consumer)


def table(page: AppTest, column: str) -> list[dict[Any, Any]]:
    """The rows of the table that has a column; empty where it is not shown."""
    return next((one.value.to_dict("records") for one in page.dataframe if column in one.value), [])


def click(session_id: str, event: str, time: int) -> bytes:
    fields: dict[str, Any] = {"event": event, "visitor": "loyal"}
    if event in ("product_view", "purchase"):
        fields["price"] = 50.0
    return orjson.dumps({"type": "click", "session_id": session_id, "event_time": time} | fields)


def flush(time: int) -> bytes:
    return orjson.dumps({"type": "heartbeat", "event_time": time, "flush": True})


def set_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)


def test_any_number_who_look_cost_one_subscription_which_survives_its_broker(shop: Shop) -> None:
    """The scores of a stream, sent again to a broker of its own."""
    shop.publish(plan_of(shop.settings, 40))
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)
    scores = [orjson.dumps(score) for score in shop.scores()]
    with EmbeddedKafka(shop.folder / "kafka") as kafka:
        here = Shop(
            shop.settings.model_copy(update={"kafka_bootstrap": kafka.bootstrap}), shop.folder / "own"
        )
        feed = Feed(here.settings, UCI553)
        wait_for(lambda: feed.snapshot().state == "following", "it has subscribed")
        thread = feed._thread
        send(here, scores[:10])
        wait_for(lambda: feed.snapshot().live == 10, "scores arrive")
        kafka.kill()
        wait_for(lambda: feed.snapshot().state == "away", "the broker is seen to be away")
        kafka.start()
        send(here, scores[10:])
        wait_for(lambda: feed.snapshot().live == 40, "it goes on where it was")
        wait_for(lambda: feed.snapshot().state == "following", "and says so")
        assert feed._thread is thread
        other = orjson.loads(scores[0]) | {"shop": {"name": "corner-shop", "hash": "0" * 16}}
        send(here, [orjson.dumps(other)] * 3)
        label = f"corner-shop/{'0' * 16}"
        wait_for(lambda: feed.snapshot().others == {label: 3}, "scores of another shop are named")
        assert feed.snapshot().live == 40
        feed.close()
        wait_for(lambda: thread is not None and not thread.is_alive(), "it ends when it is asked to", 5)


def send(shop: Shop, scores: Sequence[bytes]) -> None:
    producer = Producer(shop.settings)
    for score in scores:
        producer.send(shop.settings.scores_topic, 0, None, score)
    producer.flush()
    producer.close()
