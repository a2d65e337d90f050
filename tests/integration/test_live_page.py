"""The page *Live* and the subscription behind it, on real servers."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from dashboard_pages import alone, shown
from shop import Shop, plan_of, stop, wait_for

from clickstream.dashboard.feed import Feed
from clickstream.features.shop import UCI553
from clickstream.infra.kafka import Producer
from clickstream.local.embedded import EmbeddedKafka
from clickstream.records.score import Score

__all__ = ["alone"]

pytestmark = pytest.mark.integration


def test_live_shows_the_scores_of_a_stream(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kafka_bootstrap", "clicks_topic", "scores_topic", "dead_letter_topic", "group"):
        monkeypatch.setenv(f"CLICKSTREAM_{name.upper()}", str(getattr(shop.settings, name)))
    consumer = shop.consumer()
    at = shown("live")
    wait_for(
        lambda: "No score of this shop has arrived" in " ".join(info.value for info in at.run().info),
        "it says it waits",
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
