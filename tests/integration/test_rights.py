"""Each role with the rights that `clickstream acls` prints: it does its work; with one less it says so."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Self
from uuid import uuid4

import pytest
from kafka import KafkaConsumer
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from pydantic import SecretStr
from secured_kafka import SecuredKafka
from shop import Shop, plan_of, wait_for
from structlog.testing import capture_logs
from typer.testing import CliRunner

from clickstream.audit import run_audit
from clickstream.bundles.bundle import load_bundle
from clickstream.cli.main import command_line
from clickstream.consumer.assembly import open_engine
from clickstream.consumer.state_reader import StateReader
from clickstream.consumer.topics import prepare_topics
from clickstream.dashboard.feed import Feed
from clickstream.dashboard.session_clicks import SessionClicks
from clickstream.infra.errors import ClickstreamError, ConfigurationError
from clickstream.infra.kafka import Admin, Producer, Reader
from clickstream.infra.kafka.connection import connection_options
from clickstream.infra.kafka.translation import translated
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.local.embedded import EmbeddedValkey
from clickstream.lookup.service import Lookup
from clickstream.offline.recorded import read_recorded
from clickstream.operate.doctor.examine import examine
from clickstream.operate.draining import behind
from clickstream.operate.forgetting import held, kept, publish
from clickstream.operate.rights import KafkaRight, Role, kafka_rights, redis_command, redis_rights
from clickstream.producer.replay import prepare
from clickstream.records.shops import load_shop

pytestmark = pytest.mark.integration

SHARE = int(os.environ.get("CLICKSTREAM_RIGHTS_TAKEN", 5))
"""How many rights are taken away in one run, by the seed; all of them, and more, by hand."""


class Servers(NamedTuple):
    """The settings of who may do all, and both servers."""

    settings: Settings
    kafka: SecuredKafka
    valkey: EmbeddedValkey


@pytest.fixture(scope="module")
def servers_with_acls(
    secured_kafka: SecuredKafka, synthetic_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("rights")
    with EmbeddedValkey(folder / "valkey") as valkey:
        settings = Settings(
            home=folder,
            bundle=str(synthetic_bundle),
            kafka_bootstrap=secured_kafka.bootstrap,
            redis_url=SecretStr(valkey.url),
            partitions=2,
            patience=4_000,
            max_open_sessions=10,
            session_timeout=2_000,
            idle_after=500,
            rebuild_horizon=2_400_000,
            open_scores="1",
        )
        yield Servers(settings, secured_kafka, valkey)


@pytest.fixture(scope="module")
def scored(servers_with_acls: Servers) -> Shop:
    """A shop of which everything was scored, and in which something is open: what the others look at."""
    shop = Shop(renamed(servers_with_acls.settings), servers_with_acls.settings.home / "logs")
    shop.publish(plan_of(shop.settings, 100), until=400)
    with Running(shop.settings):
        shop.drain()
    return shop


def renamed(settings: Settings) -> Settings:
    """Topics and a group of their own."""
    name = uuid4().hex[:8]
    return settings.model_copy(
        update={
            "clicks_topic": f"clicks-{name}",
            "scores_topic": f"scores-{name}",
            "open_scores_topic": f"open-{name}",
            "dead_letter_topic": f"letters-{name}",
            "group": f"group-{name}",
        }
    )


def user_with(
    servers: Servers, settings: Settings, kafka: Sequence[KafkaRight], redis: str | None
) -> Settings:
    """The settings of a new user who has exactly these rights."""
    user = f"user-{uuid4().hex[:8]}"
    servers.kafka.set_password(user, "open sesame")
    given = [
        ACL(
            f"User:{user}",
            "*",
            ACLOperation[
                "DESCRIBE_CONFIGS" if right.operation == "DescribeConfigs" else right.operation.upper()
            ],
            ACLPermissionType.ALLOW,
            ResourcePattern(
                ResourceType[right.resource.upper().replace("-", "_")],
                right.name,
                ACLResourcePatternType.PREFIXED if right.prefix else ACLResourcePatternType.LITERAL,
            ),
        )
        for right in kafka
    ]
    with closing(KafkaAdminClient(bootstrap_servers=servers.kafka.bootstrap)) as admin:
        if given:
            admin.create_acls(given)
        anything = ACLFilter(
            f"User:{user}",
            None,
            ACLOperation.ANY,
            ACLPermissionType.ANY,
            ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
        )

        def known() -> bool:
            found, _ = admin.describe_acls(anything)
            return len(found) == len(given)

        wait_for(known, "the broker knows the rights")
    if redis is not None:
        with servers.valkey.client() as own:
            own.execute_command(*redis.format(user=user).split())
    return settings.model_copy(
        update={
            "kafka_bootstrap": servers.kafka.listeners["SASL_BARE"],
            "kafka_security_protocol": "SASL_PLAINTEXT",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_username": user,
            "kafka_password": SecretStr("open sesame"),
            "redis_url": SecretStr(f"redis://{user}:PASSWORD@{servers.valkey.address}/0"),
        }
    )


class Running:
    """A consumer in a thread, for the length of a `with` block."""

    def __init__(self, settings: Settings) -> None:
        self.engine = open_engine(settings, load_bundle(settings))
        self._ended: list[ClickstreamError] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.engine.run()
        except ClickstreamError as error:
            self._ended.append(error)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for it; raises what the consumer ended with before that."""
        wait_for(lambda: bool(self._ended) or condition(), what)
        for error in self._ended:
            raise error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.stop()
        self._thread.join(60)


def consume(servers: Servers, settings: Settings) -> None:
    """Scores, open scores and dead letters; all of Redis is lost and made again; a heartbeat in a silence."""
    names = ("clicks_topic", "scores_topic", "open_scores_topic", "dead_letter_topic", "group")
    own = servers.settings.model_copy(update={name: getattr(settings, name) for name in names})
    shop = Shop(own, own.home / "logs")
    plan = plan_of(own, 100)
    with Running(settings) as consumer:
        for begin, end in ((0, 300), (300, 400)):
            shop.publish(plan, after=begin, until=end)
            shop.send(0, b"who", b"no click", 0)
            consumer.until(shop.all_scored, "all is scored")
            with closing(connect(own)) as redis:
                redis.delete(*(key for keys in shop.redis_keys() for key in keys))
        with capture_logs() as logged:
            beats = consumer.engine.idle
            beats.problems.clear()  # each is logged once
            before = sum(beats.results.values())
            consumer.until(lambda: sum(beats.results.values()) > before, "a heartbeat of a silent partition")
        for problem in logged:
            if "no idle heartbeat" in problem["event"]:
                raise ConfigurationError(problem["error"], problem["remedy"])


def produce(_: Servers, settings: Settings) -> None:
    """A click, acknowledged."""
    with closing(Producer(settings)) as producer:
        producer.send(settings.clicks_topic, 0, b"who", b"no click", timestamp=0)
        producer.flush()


def subscribe(_: Servers, settings: Settings) -> None:
    """Scores and open scores, as `scores tail` reads them, and in a group, as other programs do."""
    for topic in (settings.scores_topic, settings.open_scores_topic):
        with closing(Reader(settings, topic)) as reader:
            assert sum(len(batch) for batch in reader.read_to(reader.decided_ends().offsets))
    consumer = KafkaConsumer(
        settings.scores_topic,
        group_id="subscriber",
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        **connection_options(settings),
    )
    with closing(consumer), translated("reading scores", settings):
        wait_for(lambda: bool(consumer.poll(timeout_ms=200)), "a score")
        consumer.commit()


def learn(_: Servers, settings: Settings) -> None:
    """The recorded sessions that `train --from-topic` takes."""
    assert read_recorded(settings).sessions


def look_up(_: Servers, settings: Settings) -> None:
    """A session, and the list."""
    with closing(Lookup(settings)) as lookup:
        listed = next(page for page in lookup.sessions("online", 0.0, 1.0, 10) if page is not None)
        assert listed.sessions
        assert lookup.session(listed.sessions[0]["session_id"]) is not None
        assert lookup.session("nobody") is None


def watch(servers: Servers, settings: Settings) -> None:
    """What the pages show: the stream, the group, open sessions, the clicks of one."""
    feed = Feed(settings, load_shop(settings.shop))
    with closing(feed):
        wait_for(lambda: feed.snapshot().state != "starting", "the stream is seen")
        problem = feed.snapshot().problem
        if problem is not None:
            raise problem
    look_up(servers, settings)
    with closing(SessionClicks(settings, "nobody", 0, 0)) as clicks:
        clicks.take(1, 1.0)


def audit(_: Servers, settings: Settings) -> None:
    """All that was scored."""
    assert not run_audit(settings).flawed


def forget(_: Servers, settings: Settings) -> None:
    """What the command asks and writes, with a consumer or without."""
    with closing(Admin(settings)) as admin:
        topic = admin.describe_topic(settings.clicks_topic)
        assert topic is not None
        with closing(StateReader(settings, topic.id, load_shop(settings.shop))) as reader:
            found = held(reader, "nobody", topic.partitions)
        publish(settings, "nobody", found)
        partitions = [one.partition for one in found]
        topics = list(kept(admin, settings, topic, "nobody", partitions))
        assert len(topics) == 4
        assert admin.group_state(settings.group, topic.name).members == ()
        assert behind(admin, settings, {p: end.offset for p, end in admin.log_ends(topic).items()})


def create_topics(_: Servers, settings: Settings) -> None:
    """The Job's first run, which finds none of them, and the next, which finds them all."""
    assert prepare_topics(settings) == prepare_topics(settings)


def read_lag(_: Servers, settings: Settings) -> None:
    """What waits for the group, which is all that a scaler goes by."""
    with closing(Admin(settings)) as admin:
        topic = admin.describe_topic(settings.clicks_topic)
        assert topic is not None
        ends = admin.log_ends(topic)
        committed = admin.group_offsets(settings.group, topic.name)
        assert committed
        assert all(ends[partition].offset >= one.offset for partition, one in committed.items())


WORK: Mapping[Role, Callable[[Servers, Settings], None]] = {
    Role.CONSUMER: consume,
    Role.PRODUCER: produce,
    Role.SUBSCRIBER: subscribe,
    Role.TRAINER: learn,
    Role.LOOK_UP: look_up,
    Role.DASHBOARD: watch,
    Role.AUDITOR: audit,
    Role.FORGETTER: forget,
    Role.TOPIC_CREATOR: create_topics,
    Role.SCALER: read_lag,
}


BY_CLIENT = [
    (role, client)
    for role in Role
    for client in (("kafka-python", "confluent-kafka") if role is Role.CONSUMER else ("kafka-python",))
]
"""Consumers work by either of the two clients, all others by the one."""


def about(role: Role, client: str, servers: Servers, scored: Shop) -> Settings:
    """What the role works on: the consumer on topics of its own, who creates them on none, the others on
    what is scored."""
    if role not in (Role.CONSUMER, Role.TOPIC_CREATOR):
        return scored.settings
    settings = renamed(servers.settings).model_copy(update={"kafka_client": client})
    if role is Role.CONSUMER:
        prepare_topics(settings)
    return settings


@pytest.mark.parametrize(("role", "client"), BY_CLIENT)
def test_a_role_does_its_work_with_exactly_its_rights(
    role: Role, client: str, servers_with_acls: Servers, scored: Shop
) -> None:
    settings = about(role, client, servers_with_acls, scored)
    redis = redis_rights(role, settings)
    command = None if redis is None else redis_command(redis, "{user}", cluster=False)
    user = user_with(servers_with_acls, settings, kafka_rights(role, settings), command)
    WORK[role](servers_with_acls, user)


class OneLess(NamedTuple):
    """A role without one of its rights: the number of a right of Kafka, or a command of Redis."""

    role: Role
    client: str
    lacks: int | str


def each_right() -> list[OneLess]:
    settings = Settings(open_scores="1")
    found: list[OneLess] = []
    for role, client in BY_CLIENT:
        found += [OneLess(role, client, number) for number in range(len(kafka_rights(role, settings)))]
        redis = redis_rights(role, settings)
        found += [OneLess(role, client, command) for command in (redis.commands if redis else ())]
    return found


def test_one_right_less_is_told(servers_with_acls: Servers, scored: Shop, drill_seed: int) -> None:
    everything = each_right()
    taken = random.Random(drill_seed).sample(everything, min(SHARE, len(everything)))
    untold = [found for one in taken if (found := untold_of(one, servers_with_acls, scored))]
    assert not untold, "\n\n".join(untold)


def untold_of(one: OneLess, servers: Servers, scored: Shop) -> str:
    """What is wrong with what the role without this right is told; empty: it names it, and what to do."""
    settings = about(one.role, one.client, servers, scored)
    kafka = list(kafka_rights(one.role, settings))
    redis = redis_rights(one.role, settings)
    if isinstance(one.lacks, int):
        named = kafka.pop(one.lacks).name
    elif redis is not None:
        named = one.lacks
        redis = replace(redis, commands=tuple(command for command in redis.commands if command != named))
    command = None if redis is None else redis_command(redis, "{user}", cluster=False)
    user = user_with(servers, settings, kafka, command)
    try:
        WORK[one.role](servers, user)
    except ConfigurationError as error:
        told = named in error.what and "clickstream acls" in error.remedy
        return "" if told else f"{one} ({named}): {error}"
    except (ClickstreamError, AssertionError) as error:
        return f"{one} ({named}): {type(error).__name__} {error}"
    return f"{one} ({named}): nothing"


def test_settings_that_a_user_may_not_see_are_told_and_not_taken_for_the_defaults(
    servers_with_acls: Servers, scored: Shop
) -> None:
    settings = scored.settings
    user = user_with(servers_with_acls, settings, kafka_rights(Role.CONSUMER, settings), None)
    found = list(examine(user))
    unseen = [check.what for check in found if "cannot be read" in check.what and check.part != "redis"]
    assert any("the settings of the brokers" in what for what in unseen)
    assert any(f"the settings of {settings.clicks_topic}" in what for what in unseen)
    assert not any("retention.ms" in check.what for check in found)
    assert any(check.part == "group" for check in found), "the checks after them are made"
    with pytest.raises(ConfigurationError, match="TopicAuthorizationFailed"):
        prepare(user, None)


def test_what_is_printed_is_what_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["acls", "look-up", "--group", "shop[1]", "--clicks-topic", "c;id", "--user", "{role}-1"]
    printed = CliRunner().invoke(command_line(words), words)
    assert printed.output.splitlines() == [
        "# look-up",
        "kafka-acls.sh --bootstrap-server localhost:9092 --add --allow-principal User:look-up-1"
        " --operation Describe --topic 'c;id'",
        "ACL SETUSER look-up-1 reset on >PASSWORD %R~clickstream:shop\\[1\\]:* +ping +multi +exec +hgetall"
        " +hmget +hexists +get +getrange +zrevrange",
        "",
    ]
    monkeypatch.setenv("CLICKSTREAM_REDIS_CLUSTER", "true")
    of_a_cluster = CliRunner().invoke(command_line(words), words)
    assert of_a_cluster.output == printed.output.replace(
        "+zrevrange", "+zrevrange +cluster|slots +command +asking"
    )
