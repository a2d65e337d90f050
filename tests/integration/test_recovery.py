"""Processes are killed, servers emptied, settings changed: no session is lost, repeated or wrong."""

from __future__ import annotations

import random
import re
import signal
from contextlib import closing

import orjson
import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from pydantic import SecretStr
from shop import Shop, plan_of, scraped, stop, wait_for

from clickstream.audit.verdict import AFTER_A_LOSS, unchecked_parts
from clickstream.consumer.state_format import STATE_VERSION
from clickstream.infra.failpoints import FAILPOINTS
from clickstream.infra.kafka import Admin, CommittedOffset
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.local.processes import Process

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

SMALL_STEPS = {"max_poll_records": 150}


def assert_exactly_once(shop: Shop, sessions: int) -> None:
    report = shop.audit()
    assert not report.flawed, report
    assert unchecked_parts(report).keys() <= set(AFTER_A_LOSS)
    assert report.scored == sessions


def run_to_the_end(shop: Shop, settings: Settings | None = None) -> None:
    consumer = shop.consumer("one", settings=settings)
    shop.drain(consumer)
    stop(consumer)


# A wipe comes with the first claim, a republication after a death between Redis and Kafka.
DEATHS = ("after_wipe", "after_claim", "after_reconcile", "after_poll", "after_load", "after_score",
          "between_commits", "after_commit", "after_republish", "after_produce", "after_publish",
          "between_trims", "after_trim")  # fmt: skip


def test_each_failpoint_is_drilled() -> None:
    """What takes two consumers, a rebalance or a transaction that another left, is drilled in tests/chaos."""
    assert {*DEATHS, "after_revoke", "after_give_up", "after_fence"} == set(FAILPOINTS)


def test_a_death_between_any_two_steps_loses_and_repeats_nothing(shop: Shop, drill_seed: int) -> None:
    """With a stable identity or without one, by the seed."""
    instance = random.Random(drill_seed).choice(["one", None])
    shop.publish(plan_of(shop.settings, 700))
    settings = shop.settings.model_copy(update=SMALL_STEPS | {"session_timeout": 2_000})
    for death in DEATHS:
        consumer = shop.consumer(instance, failpoint=f"{death}:2", settings=settings)
        if death == "after_republish":
            consumer.kill()
            stored = shop.consumer(instance, failpoint="after_commit:2", settings=settings)
            assert stored.wait(40) == -signal.SIGKILL
            consumer = shop.consumer(instance, failpoint="after_republish", settings=settings)
        assert consumer.wait(40) == -signal.SIGKILL, consumer.last_words()
    run_to_the_end(shop)
    assert_exactly_once(shop, 700)


def test_who_reads_uncommitted_records_sees_copies_after_a_kill_and_who_reads_committed_ones_does_not(
    shop: Shop,
) -> None:
    shop.publish(plan_of(shop.settings, 300))
    settings = shop.settings.model_copy(update=SMALL_STEPS)
    consumer = shop.consumer("one", failpoint="after_produce:2", settings=settings)
    assert consumer.wait(40) == -signal.SIGKILL, consumer.last_words()
    run_to_the_end(shop)
    committed = [score["score_id"] for score in shop.scores()]
    uncommitted = [score["score_id"] for score in shop.scores(committed_only=False)]
    assert len(set(committed)) == len(committed) == 300
    assert set(uncommitted) == set(committed)
    assert len(uncommitted) > len(committed)


def test_a_consumer_killed_in_mid_replay_is_replaced(shop: Shop) -> None:
    plan = plan_of(shop.settings, 800)
    shop.publish(plan, until=2_500)
    settings = shop.settings.model_copy(update=SMALL_STEPS | {"session_timeout": 2_000})
    victim, other = shop.consumer(settings=settings), shop.consumer(settings=settings)
    wait_for(lambda: shop.scored() > 500, "work began")
    victim.kill()
    shop.publish(plan, after=2_500)
    shop.drain(other)
    stop(other)
    assert_exactly_once(shop, 800)


def test_an_emptied_redis_is_rebuilt_from_the_log(shop: Shop) -> None:
    plan = plan_of(shop.settings, 600)
    shop.publish(plan, until=2_500)
    run_to_the_end(shop)
    assert shop.open_sessions() > 0
    connect(shop.settings).flushall()
    shop.publish(plan, after=2_500)
    run_to_the_end(shop)
    assert_exactly_once(shop, 600)


def test_a_rebuild_that_is_interrupted_teaches_the_online_models_nothing_that_was_published(
    shop: Shop,
) -> None:
    """What was scored before the loss is not learned: the audit can follow the models that began again."""
    plan = plan_of(shop.settings, 600)
    shop.publish(plan, until=2_500)
    run_to_the_end(shop)
    connect(shop.settings).flushall()
    settings = shop.settings.model_copy(update=SMALL_STEPS)
    consumer = shop.consumer("one", failpoint="after_commit:6", settings=settings)
    assert consumer.wait(40) == -signal.SIGKILL, consumer.last_words()
    shop.publish(plan, after=2_500)
    run_to_the_end(shop)
    assert_exactly_once(shop, 600)


def test_a_redis_emptied_under_a_running_consumer_is_rebuilt_from_the_log(shop: Shop) -> None:
    plan = plan_of(shop.settings, 600)
    shop.publish(plan, until=2_500)
    consumer = shop.consumer("one")
    shop.drain(consumer)
    connect(shop.settings).flushall()
    shop.publish(plan, after=2_500)
    shop.drain(consumer)
    stop(consumer)
    assert_exactly_once(shop, 600)


def test_a_redis_set_back_to_an_earlier_state_is_brought_forward_again(shop: Shop) -> None:
    plan = plan_of(shop.settings, 600)
    shop.publish(plan, until=1_500)
    run_to_the_end(shop)
    redis = connect(shop.settings)
    earlier = {key: redis.dump(key) for key in redis.scan_iter()}
    shop.publish(plan, after=1_500, until=3_000)
    run_to_the_end(shop)
    redis.flushall()
    for key, state in earlier.items():
        redis.restore(key, 0, state)
    shop.publish(plan, after=3_000)
    run_to_the_end(shop)
    assert_exactly_once(shop, 600)


def test_a_lost_key_is_noticed_and_the_partition_rebuilt(shop: Shop) -> None:
    plan = plan_of(shop.settings, 300)
    shop.publish(plan, until=1_200)
    run_to_the_end(shop)
    redis = connect(shop.settings)
    for partition, keys in enumerate(shop.redis_keys()):
        redis.delete(keys[1 + partition % 2])
    shop.publish(plan, after=1_200)
    run_to_the_end(shop)
    assert_exactly_once(shop, 300)


def test_a_lost_outbox_is_noticed_and_its_scores_are_made_again(shop: Shop) -> None:
    shop.publish(plan_of(shop.settings, 300))
    settings = shop.settings.model_copy(update={"max_poll_records": 400})
    consumer = shop.consumer("one", failpoint="after_commit:3", settings=settings)
    assert consumer.wait(40) == -signal.SIGKILL
    redis = connect(shop.settings)
    assert sum(redis.delete(keys[3]) for keys in shop.redis_keys()) > 0
    run_to_the_end(shop)
    assert_exactly_once(shop, 300)


def test_a_partition_that_cannot_go_on_does_not_stop_the_others(shop: Shop) -> None:
    plan = plan_of(shop.settings, 300)
    shop.publish(plan, until=900)
    run_to_the_end(shop)
    redis = connect(shop.settings)
    redis.hset(shop.redis_keys()[0][0], "published", 1 << 40)
    shop.publish(plan, after=900)
    consumer = shop.consumer("one")
    admin = Admin(shop.settings)

    def others_done() -> bool:
        committed = admin.group_offsets(shop.settings.group, shop.topic.name)
        return all(committed[p].offset >= n for p, n in enumerate(plan.counts().tolist()) if p)

    wait_for(others_done, "the other partitions are scored")
    admin.close()
    assert "not served" in consumer.last_words() or "not served" in consumer.log.read_text()
    stop(consumer)


def test_a_topic_that_refuses_scores_is_told_counted_and_waited_for(shop: Shop) -> None:
    scores = f"{shop.settings.scores_topic}-narrow"
    changes = {"scores_topic": scores, "metrics_port": free_port(), "patience": 2_000}
    shop.settings = shop.settings.model_copy(update=changes)
    with closing(Admin(shop.settings)) as admin:
        admin.create_topic(scores, shop.topic.partitions, {"max.message.bytes": "100"})
    shop.publish(plan_of(shop.settings, 100))
    consumer = shop.consumer("one")

    def told_of_failures() -> bool:
        found = {name: value for (name, *_), value in scraped(shop.settings).items()}
        return found["transaction_failures_total"] > 3 and "lag_records" not in found

    wait_for(lambda: '"consuming"' in consumer.log.read_text(), "the consumer is up")
    wait_for(told_of_failures, "each try is counted", 120)
    # In the words of either client. Where the machine is busy, some tries end by the short patience.
    told = re.compile('"recovering".*Message ?Size ?Too ?Large|Message ?Size ?Too ?Large.*"recovering"', re.I)
    wait_for(lambda: told.search(consumer.log.read_text()) is not None, "the broker's reason is told", 120)
    with closing(KafkaAdminClient(bootstrap_servers=shop.settings.kafka_bootstrap)) as admin:
        wider = ConfigResource(ConfigResourceType.TOPIC, scores, {"max.message.bytes": "1048588"})
        admin.alter_configs([wider])
    shop.drain(consumer)
    wait_for(lambda: scraped(shop.settings).get(("lag_records",)) == 0, "the lag is gone")
    found = scraped(shop.settings)
    assert found["scores_total",] == len(shop.scores()) == 100
    assert found["republished_total",] > 0
    stop(consumer)
    assert_exactly_once(shop, 100)


def test_a_zombie_with_the_same_identity_leaves(shop: Shop) -> None:
    plan = plan_of(shop.settings, 600)
    shop.publish(plan, until=1_500)
    zombie = shop.consumer("one")
    shop.drain(zombie)
    zombie.signal(signal.SIGSTOP)
    twin = shop.consumer("one")
    shop.publish(plan, after=1_500)
    shop.drain(twin)
    zombie.signal(signal.SIGCONT)
    assert zombie.wait(30) == 75, zombie.last_words()
    stop(twin)
    assert_exactly_once(shop, 600)


def test_a_zombie_without_identity_rejoins_and_harms_nothing(shop: Shop) -> None:
    plan = plan_of(shop.settings, 600)
    settings = shop.settings.model_copy(update=SMALL_STEPS | {"session_timeout": 2_000})
    shop.publish(plan, until=1_500)
    zombie = shop.consumer(settings=settings)
    wait_for(lambda: shop.scored() > 300, "work began")
    zombie.signal(signal.SIGSTOP)
    other = shop.consumer(settings=settings)
    shop.drain(other)
    zombie.signal(signal.SIGCONT)
    shop.publish(plan, after=1_500)
    shop.drain(other, zombie)
    stop(zombie)
    stop(other)
    assert_exactly_once(shop, 600)


def test_changed_settings_are_refused_while_sessions_are_open_and_taken_after_a_drain(shop: Shop) -> None:
    plan = plan_of(shop.settings, 200)
    shop.publish(plan, until=600)
    run_to_the_end(shop)
    changed = shop.settings.model_copy(update={"gap": 1_200_000})
    refused = shop.consumer(settings=changed)
    assert refused.wait(30) == 78
    assert "gap was 1800000 and is 1200000" in refused.last_words()
    assert "drain" in refused.last_words()

    consumer = shop.consumer("one")
    drain = Process(["drain"], shop.settings, shop.folder / "drain.log")
    assert drain.wait(30) == 0, drain.last_words()
    stop(consumer)
    assert shop.open_sessions() == 0
    assert_exactly_once(shop, len(shop.scores()))
    taken = shop.consumer(settings=changed)
    shop.publish(plan, after=600)
    shop.drain(taken)
    stop(taken)


def test_a_state_of_another_format_is_refused_with_sessions_open_and_taken_after_a_drain(shop: Shop) -> None:
    plan = plan_of(shop.settings, 200)
    shop.publish(plan, until=600)
    run_to_the_end(shop)
    redis = connect(shop.settings)
    metas = [keys[0] for keys in shop.redis_keys()]

    def written_by_another(version: int) -> None:
        for meta in metas:
            redis.hset(meta, mapping={"version": version, "crumbs": "?"})

    written = [redis.hget(meta, "crumbs") for meta in metas]
    written_by_another(STATE_VERSION + 1)
    refused = shop.consumer("one")
    words = f"open sessions in format {STATE_VERSION + 1}"
    wait_for(lambda: words in refused.log.read_text(), "partitions with open sessions are refused")
    refused.stop()

    for meta, crumbs in zip(metas, written, strict=True):
        redis.hset(meta, mapping={"version": STATE_VERSION, "crumbs": crumbs or "[]"})
    consumer = shop.consumer("one")
    drain = Process(["drain"], shop.settings, shop.folder / "drain.log")
    assert drain.wait(30) == 0, drain.last_words()
    stop(consumer)
    scored = len(shop.scores())
    written_by_another(STATE_VERSION + 1)
    taken = shop.consumer("one")
    shop.publish(plan, after=600)
    shop.drain(taken)
    stop(taken)
    assert b"%d" % STATE_VERSION in {redis.hget(meta, "version") for meta in metas}
    report = shop.audit()
    assert report.clean, report
    assert report.scored > scored
    assert report.rebuilt_partly == 0


def test_offsets_set_back_are_refused_and_a_restart_on_purpose_is_possible(shop: Shop) -> None:
    shop.publish(plan_of(shop.settings, 200))
    run_to_the_end(shop)
    admin = Admin(shop.settings)
    offsets = admin.group_offsets(shop.settings.group, shop.topic.name)
    admin.set_group_offsets(
        shop.settings.group, shop.topic.name, {p: CommittedOffset(0, c.metadata) for p, c in offsets.items()}
    )
    admin.close()
    refused = shop.consumer("one")
    assert refused.wait(60) == 78
    assert "set back" in refused.last_words()

    again = Process(
        ["consume", "--instance", "one", "--restart-from", "earliest"],
        shop.settings,
        shop.folder / "again.log",
    )
    shop.processes.append(again)
    wait_for(lambda: len(shop.scores()) == 400, "every session was scored a second time, on purpose")
    stop(again)


def set_forward(shop: Shop, by: int) -> dict[int, int]:
    """As Kafka's own tool does it: new offsets, without a note. Returns the former ones."""
    with closing(Admin(shop.settings)) as admin:
        offsets = admin.group_offsets(shop.settings.group, shop.topic.name)
        moved = {p: CommittedOffset(one.offset + by, "") for p, one in offsets.items()}
        admin.set_group_offsets(shop.settings.group, shop.topic.name, moved)
    return {p: one.offset for p, one in offsets.items()}


@pytest.mark.parametrize("instance", ["one", None])
@pytest.mark.parametrize("redis", ["kept", "emptied"])
def test_offsets_set_forward_are_refused_and_nothing_is_lost_when_they_are_set_back(
    shop: Shop, instance: str | None, redis: str
) -> None:
    plan = plan_of(shop.settings, 200)
    shop.publish(plan, until=700)
    run_to_the_end(shop)
    shop.publish(plan, after=700)
    if redis == "emptied":
        connect(shop.settings).flushall()
    with closing(Admin(shop.settings)) as admin:
        notes = admin.group_offsets(shop.settings.group, shop.topic.name)
    former = set_forward(shop, 3)
    refused = shop.consumer(instance)
    assert refused.wait(60) == 78, refused.last_words()
    words = refused.log.read_text()
    assert f"committed offset {former[0] + 3} was set by a tool" in words
    assert "--restart-from committed" in words
    if redis == "kept":
        assert "the 3 records before it would never be scored" in words
        assert f"set it to {former[0]} again" in words

    with closing(Admin(shop.settings)) as admin:
        admin.set_group_offsets(shop.settings.group, shop.topic.name, notes)
    run_to_the_end(shop)
    assert_exactly_once(shop, 200)


def test_offsets_set_forward_on_purpose_are_begun_at(shop: Shop) -> None:
    """Also before the first start ever."""
    plan = plan_of(shop.settings, 100)
    shop.publish(plan)
    skipped = {p: n // 2 for p, n in enumerate(plan.counts().tolist())}
    with closing(Admin(shop.settings)) as admin:
        admin.set_group_offsets(
            shop.settings.group, shop.topic.name, {p: CommittedOffset(at, "") for p, at in skipped.items()}
        )
    refused = shop.consumer("one")
    assert refused.wait(60) == 78, refused.last_words()
    assert "nothing was applied yet" in refused.last_words()
    log = shop.folder / "accepted.log"
    accepted = Process(["consume", "--restart-from", "committed"], shop.settings, log)
    shop.processes.append(accepted)
    shop.drain(accepted)
    stop(accepted)
    sources = [orjson.loads(orjson.dumps(score["source"])) for score in shop.scores()]
    assert sources
    assert all(source["first_offset"] >= skipped[source["partition"]] for source in sources)


def test_a_redis_emptied_while_a_bound_closes_sessions_repeats_no_score_and_marks_what_it_cannot_know(
    shop: Shop,
) -> None:
    bounds = {"max_open_sessions": 2, "rebuild_horizon": 2_400_000, "max_poll_records": 200}
    shop.settings = shop.settings.model_copy(update=bounds)
    plan = plan_of(shop.settings, 600)
    half = sum(plan.counts().tolist()) // 2
    shop.publish(plan, until=half)
    consumer = shop.consumer("one")
    shop.drain(consumer)
    before = len(shop.scores())
    connect(shop.settings).flushall()
    shop.publish(plan, after=half)
    shop.drain(consumer)
    stop(consumer)
    scores = shop.scores()
    assert any(score["closed_by"] == "limit" for score in scores[:before])
    lines = [orjson.loads(line) for line in consumer.log.read_text().splitlines()]
    assert "rebuild" in {line.get("case") for line in lines}
    assert len({score["score_id"] for score in scores}) == len(scores)
    assert any(score["error"] == "rebuilt-partly" for score in scores[before:])
    report = shop.audit()
    assert not report.flawed, report
    assert unchecked_parts(report).keys() <= set(AFTER_A_LOSS)


def test_a_lost_state_is_not_guessed_where_the_scores_are_gone_too(shop: Shop) -> None:
    shop.settings = shop.settings.model_copy(update={"rebuild_horizon": 2_400_000})
    plan = plan_of(shop.settings, 600)
    shop.publish(plan, until=3_000)
    run_to_the_end(shop)
    connect(shop.settings).flushall()
    elsewhere = shop.settings.model_copy(update={"scores_topic": f"{shop.settings.scores_topic}-other"})
    refused = shop.consumer("one", settings=elsewhere)
    wait_for(lambda: "holds 0 of the" in refused.log.read_text(), "it is refused by name", 120)
    refused.kill()
    shop.publish(plan, after=3_000)
    run_to_the_end(shop)
    report = shop.audit()
    assert not report.flawed, report
    assert unchecked_parts(report).keys() <= set(AFTER_A_LOSS)
    assert report.scored + report.rebuilt_partly == len(shop.scores()) == 600


def test_servers_that_were_never_there_end_the_command_with_a_remedy(shop: Shop) -> None:
    away = {
        "kafka_bootstrap": ("127.0.0.1:9", "Kafka at 127.0.0.1:9"),
        "redis_url": (SecretStr("redis://127.0.0.1:9/0"), "Redis at 127.0.0.1:9"),
    }
    for name, (address, words) in away.items():
        consumer = shop.consumer("one", settings=shop.settings.model_copy(update={name: address}))
        assert consumer.wait(40) == 69, consumer.last_words()
        lines = [orjson.loads(line) for line in consumer.log.read_text().splitlines()]
        assert {line["owner"] for line in lines} == {f"{shop.settings.group}-one"}
        assert (lines[-1]["event"], lines[-1]["code"]) == ("ended", 69)
        assert words in lines[-1]["error"]
