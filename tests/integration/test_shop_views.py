"""What shows the scores of a shop follows its definition, and a candidate rides along, unseen in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from shop import Shop, scraped, stop, wait_for

from clickstream.bundles.champion import bundles_of, champion
from clickstream.features.shop_file import built_in
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.local.processes import environment
from clickstream.producer.synthetic_shop import SHOP, known_sessions

pytestmark = pytest.mark.integration

SESSIONS = 150


def command(settings: Settings, *words: str) -> str:
    """What a command prints; it must succeed."""
    done = run(settings, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    """A command that has ended."""
    return subprocess.run(
        [sys.executable, "-m", "clickstream", *words],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=200,
    )


def publish(shop: Shop, sessions: dict[str, list[Any]]) -> None:
    """The clicks in the order of their times, and a last word to every partition."""
    fields = [field.name for field in built_in(SHOP).fields]
    clicks = sorted(
        ((click, session_id) for session_id, of in sessions.items() for click in of),
        key=lambda one: one[0].event_time,
    )
    partitions = shop.topic.partitions
    records = []
    for click, session_id in clicks:
        value = {"type": "click", "session_id": session_id, "event_time": click.event_time}
        value |= {"order": click.order} | {name: getattr(click, name) for name in fields}
        place = int(session_id[1:]) % partitions
        records.append((place, session_id.encode(), orjson.dumps(value), click.event_time))
    end = clicks[-1][0].event_time + 7_200_000
    flush = orjson.dumps({"type": "heartbeat", "event_time": end, "flush": True})
    shop.send_all([*records, *((partition, None, flush, end) for partition in range(partitions))])


def test_what_shows_scores_follows_the_shop_and_a_shadow_is_seen_beside_the_bundle_in_use(
    own: Shop, bundle: Path
) -> None:
    settings = own.settings.model_copy(update={"metrics_port": free_port()})
    known = known_sessions(SESSIONS, seed=8).sessions
    order = next(click for clicks in known.values() for click in clicks if click.event == "purchase")
    publish(own, known | {"s9001": [order]})
    in_use = champion(bundles_of(own.settings.bundles, SHOP))
    consumer = own.consumer(settings=settings, options=["--shadow", in_use])
    own.drain(consumer)
    scores: list[dict[str, Any]] = own.scores()
    wait_for(lambda: scraped(settings)["shadow_sessions", "since_start"] > 0, "the shadow has caught up")
    wait_for(lambda: scraped(settings)["scores_total",] == len(scores), "all is counted")
    served = scraped(settings)
    watched = orjson.loads(
        command(settings, "models", "watch", "--until-end", "--metrics", f"localhost:{settings.metrics_port}")
    )
    stop(consumer)

    # The candidate is the bundle in use, so it says the same; nothing of it is among the scores.
    assert len({score["score_id"] for score in scores}) == len(scores)
    assert served["shadow_info", in_use] == 1
    assert served["shadow_failures_total",] == 0
    for scorer in ("batch", "online"):
        for window in ("since_start", "rolling"):
            for figure in ("log_loss", "auc", "revenue_mae"):
                assert served[f"shadow_{figure}", scorer, window] == pytest.approx(
                    served[f"model_{figure}", scorer, window], abs=1e-12
                )
    (shadow,) = watched["shadows"]
    assert shadow["bundle"] == shadow["in_use"] == in_use
    for window, figures in shadow["figures"].items():
        assert figures.keys() == {"sessions", "batch", "online"}
        for scorer in ("batch", "online"):
            wanted = pytest.approx(shadow["figures_in_use"][window][scorer], abs=1e-12)
            assert figures[scorer] == wanted

    evident = [score for score in scores if score["evidence"]]
    assert watched["sessions"] == len(scores)
    assert list(watched["figures"]) == ["batch", "online"]
    assert watched["figures"]["batch"]["conversion_n"] == len(evident)
    assert watched["goals_without_visit"] == served["goals_without_visit_total",] == 1
    assert {"carts", "last_event", "price_viewed", "batch_revenue_error"} <= watched["drift"].keys()

    where = "carts >= 1 and last_event != 'purchase' and conversion > 0.05"
    tail = ("scores", "tail", "--until-end", "--columns", "session_id,carts,revenue")
    rows = [orjson.loads(line) for line in command(settings, *tail, "--where", where).splitlines()]
    assert sorted(rows, key=str) == sorted(
        (
            {
                "session_id": score["session_id"],
                "carts": score["features"]["carts"],
                "revenue": score["predictions"]["batch"]["revenue"],
            }
            for score in scores
            if score["features"]["carts"] >= 1
            and score["features"]["last_event"] != "purchase"
            and score["predictions"]["batch"]["conversion"] > 0.05
        ),
        key=str,
    )
    assert rows

    # A reader that is set to another shop shows what every score has, and says whose they are.
    done = run(settings, *tail[:3], "--shop", "uci553", "--columns", "session_id,mean_price,batch.conversion")
    assert len(done.stdout.splitlines()) == len(scores)
    assert all('"mean_price":null' in line for line in done.stdout.splitlines())
    assert f"scores of shop {SHOP}/" in done.stderr
    assert "set is uci553/" in done.stderr
    assert (
        orjson.loads(command(settings, "models", "watch", "--until-end", "--shop", "uci553"))["sessions"] == 0
    )

    # A candidate of another shop does not come along at all.
    done = run(own.settings, "consume", "--shadow", str(bundle))
    assert done.returncode == 65
    assert "is of shop uci553" in done.stderr
    assert f"asked for is shop {SHOP}" in done.stderr
