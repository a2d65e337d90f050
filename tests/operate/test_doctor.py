"""The doctor finds what is wrong, says so in words that name it, and never tells a password."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from certificates import Authority
from factory import click_json

# Training of the one small bundle is shared with the tests of the models.
from models.conftest import bundle, fitted, shop
from pydantic import SecretStr
from typer.testing import CliRunner

from clickstream.bundles.bundle import Bundle
from clickstream.cli.doctor import doctor
from clickstream.consumer.note import note_of
from clickstream.consumer.state_format import STATE_VERSION, meta_fields
from clickstream.consumer.store import Changes, Store
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.kafka import Admin, CommittedOffset, Producer
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings, format_duration
from clickstream.local.child import free_port
from clickstream.operate.doctor import Check, examine
from clickstream.operate.doctor.certificates import check_secret_files
from clickstream.operate.doctor.plaintext import check_plaintext
from clickstream.windows.fingerprint import rules_of, rules_text
from clickstream.windows.partition import Partition
from clickstream.windows.rules import Rules

__all__ = ["bundle", "fitted", "shop"]

HOUR = 3_600_000


def bad(settings: Settings) -> list[Check]:
    """What failed or is warned of, but for the bundle: most tests have none."""
    return [c for c in examine(settings) if c.status in ("fail", "warn") and c.part != "bundle"]


def only(settings: Settings) -> Check:
    """The one thing that is wrong."""
    found = bad(settings)
    assert len(found) == 1, found
    (check,) = found
    return check


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """The three topics as we create them."""
    prepare_topics(settings)
    return settings


@pytest.fixture
def redis(settings: Settings) -> Iterator[Any]:
    """A client; what a test sets is set back."""
    with closing(connect(settings)) as client:
        before = client.config_get("maxmemory*") | client.config_get("appendonly")
        yield client
        for name, value in before.items():
            client.config_set(name, value)


def create_clicks(settings: Settings, **config: str) -> None:
    """The clicks topic with other settings than ours."""
    limits = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(settings.max_ahead)}
    config = {name.replace("_", "."): value for name, value in config.items()}
    with closing(Admin(settings)) as admin:
        admin.create_topic(settings.clicks_topic, 2, limits | config)


def keep_state(
    settings: Settings,
    under: Settings,
    open_sessions: int = 3,
    applied: int = 0,
    version: int = STATE_VERSION,
) -> None:
    """State in Redis as a consumer with the settings `under` leaves it in partition 0."""
    topic = prepare_topics(settings)
    with closing(Store(settings, topic.id)) as store:
        store.claim(0, "token", 1, "id")
        logic = Partition(rules_of(under), 1_000, open_sessions)
        meta = meta_fields(logic, rules_text(under), topic.partitions) | {"version": version}
        store.commit({0: Changes("token", None, applied, meta)})
        store.trim({0: ("token", applied)})


def commit(settings: Settings, offset: int, note: str = "") -> None:
    """The group's offset in partition 0."""
    with closing(Admin(settings)) as admin:
        admin.set_group_offsets(settings.group, settings.clicks_topic, {0: CommittedOffset(offset, note)})


def test_without_servers_it_says_how_to_get_some(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, kafka_bootstrap=None, redis_url=None)
    kafka, redis = bad(settings)
    assert "none of ours runs" in kafka.what
    assert "none of ours runs" in redis.what
    assert "clickstream up" in kafka.remedy


def test_it_says_which_kafka_client_consumers_use_and_when_the_other_is_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def client(name: str) -> Check:
        settings = Settings(home=tmp_path, kafka_bootstrap=None, redis_url=None).model_copy(
            update={"kafka_client": name}
        )
        (found,) = [c for c in examine(settings) if c.part == "libraries" and "read and publish" in c.what]
        return found

    usual = client("kafka-python")
    assert usual.status == "info"
    assert "kafka-python (kafka_client)" in usual.what
    assert "CLICKSTREAM_KAFKA_CLIENT=confluent-kafka" in usual.remedy
    assert client("confluent-kafka").status == "ok"
    real = importlib.metadata.version
    for found, status in (("2.99.0", "warn"), (None, "fail")):

        def version(package: str, found: str | None = found) -> str:
            if package != "confluent-kafka":
                return real(package)
            if found is None:
                raise importlib.metadata.PackageNotFoundError(package)
            return found

        monkeypatch.setattr("clickstream.operate.doctor.machine.version", version)
        check = client("confluent-kafka")
        assert check.status == status
        assert "confluent-kafka" in check.what
        assert "pip install" in check.remedy


def test_a_horizon_within_the_gap_fails(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, kafka_bootstrap=None, redis_url=None, rebuild_horizon=1_860_000)
    (failure,) = [check for check in bad(settings) if check.status == "fail"]
    assert "rebuild_horizon 31min" in failure.what
    assert "CLICKSTREAM_REBUILD_HORIZON" in failure.remedy


def test_a_bundle_is_loaded_or_missed(tmp_path: Path, bundle: Bundle) -> None:
    settings = Settings(home=tmp_path, kafka_bootstrap=None, redis_url=None)
    (missed,) = [check for check in examine(settings) if check.part == "bundle"]
    assert missed.status == "fail"
    assert "clickstream train" in missed.remedy

    settings = settings.model_copy(update={"bundle": str(bundle.path)})
    (loaded,) = [check for check in examine(settings) if check.part == "bundle"]
    assert loaded.status == "ok"
    assert bundle.id in loaded.what


@pytest.mark.integration
def test_servers_and_topics_as_we_set_them_up_are_well(topics: Settings) -> None:
    assert bad(topics) == []
    parts = [check.part for check in examine(topics)]
    assert {"python", "libraries", "rules", "kafka", "topics", "redis", "group", "state"} <= set(parts)


@pytest.mark.integration
def test_servers_that_are_away_fail_with_their_address_and_without_their_password(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(
        home=tmp_path,
        kafka_bootstrap=f"127.0.0.1:{port}",
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_username="clicker",
        kafka_password=SecretStr("sesame1"),
        redis_url=SecretStr(f"redis://:sesame2@127.0.0.1:{port}/0"),
        patience=2_000,
    )
    kafka, redis = bad(settings)
    for check in (kafka, redis):
        assert check.status == "fail"
        assert f"127.0.0.1:{port}" in check.what
        assert check.remedy
    assert "sesame" not in str(list(examine(settings)))


@pytest.mark.integration
def test_topics_that_are_not_there_are_warned_of(settings: Settings) -> None:
    assert settings.clicks_topic in only(settings).what
    create_clicks(settings)
    assert [check.what for check in bad(settings)] == [
        f"there is no topic {settings.scores_topic}",
        f"there is no topic {settings.dead_letter_topic}",
    ]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("config", "status", "words"),
    [
        ({"retention_ms": str(6 * HOUR)}, "fail", "keeps records 6h"),
        ({"retention_bytes": "1000000"}, "warn", "1,000,000 bytes"),
        ({"cleanup_policy": "compact"}, "fail", "compacted"),
        ({"message_timestamp_after_max_ms": "300001"}, "fail", "above max_ahead"),
        ({"message_timestamp_after_max_ms": "299999"}, "warn", "below max_ahead"),
    ],
)
def test_a_clicks_topic_that_loses_or_lets_in_too_much_is_told(
    settings: Settings, config: dict[str, str], status: str, words: str
) -> None:
    create_clicks(settings, **config)
    prepare_topics(settings)
    check = only(settings)
    assert check.status == status
    assert words in check.what
    assert f"--entity-name {settings.clicks_topic} --add-config" in check.remedy


@pytest.mark.integration
def test_the_retention_must_reach_over_the_loss_of_redis_to_survive(settings: Settings) -> None:
    create_clicks(settings, retention_ms=str(8 * HOUR))
    prepare_topics(settings)
    assert bad(settings) == []
    (failure,) = [c for c in examine(settings, 3 * HOUR) if c.part == "topics" and c.status == "fail"]
    assert failure.remedy.endswith(f"retention.ms={9 * HOUR}")


@pytest.mark.integration
def test_a_live_topic_is_advised_to_bound_how_far_behind_a_clock_may_be(topics: Settings) -> None:
    def told(settings: Settings) -> list[tuple[str, str]]:
        return [(c.status, c.remedy) for c in examine(settings) if "max_behind" in c.what]

    producer = Producer(topics)
    producer.send(topics.clicks_topic, 0, b"visit", click_json(), timestamp=1_200_000_000_000)
    producer.flush()
    assert told(topics) == []
    producer.send(topics.clicks_topic, 0, b"visit", click_json())
    producer.flush()
    producer.close()
    ((status, remedy),) = told(topics)
    assert status == "info"
    assert "CLICKSTREAM_MAX_BEHIND" in remedy
    assert told(topics.model_copy(update={"max_behind": 604_800_000})) == [("ok", "")]


@pytest.mark.integration
def test_scores_that_are_not_beside_their_clicks_are_warned_of(settings: Settings) -> None:
    with closing(Admin(settings)) as admin:
        admin.create_topic(settings.scores_topic, 3, {})
    prepare_topics(settings)
    check = only(settings)
    assert check.status == "warn"
    assert "has 3 partitions" in check.what


@pytest.mark.integration
def test_limits_of_the_broker_that_settings_exceed_fail(topics: Settings) -> None:
    limit = 900_000
    too_patient = topics.model_copy(update={"patience": limit + 1})
    check = only(too_patient)
    assert (check.status, "transaction.max.timeout.ms" in check.what) == ("fail", True)
    assert f"CLICKSTREAM_PATIENCE to at most {limit}ms" in check.remedy
    too_hasty = topics.model_copy(update={"session_timeout": 500})
    check = only(too_hasty)
    assert (check.status, "group.min.session.timeout.ms" in check.what) == ("fail", True)
    assert "CLICKSTREAM_SESSION_TIMEOUT" in check.remedy


@pytest.mark.integration
def test_a_redis_that_may_forget_sessions_is_told(topics: Settings, redis: Any) -> None:
    redis.config_set("maxmemory-policy", "allkeys-lru")
    check = only(topics)
    assert check.status == "fail"
    assert "allkeys-lru" in check.what
    assert "CONFIG SET maxmemory-policy noeviction" in check.remedy
    redis.config_set("maxmemory-policy", "noeviction")

    redis.config_set("appendonly", "no")
    check = only(topics)
    assert check.status == "warn"
    assert "appendonly" in check.what
    assert format_duration(topics.rebuild_horizon) in check.what
    redis.config_set("appendonly", "yes")

    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] * 1.1))
    check = only(topics)
    assert check.status == "warn"
    assert "full" in check.what


@pytest.mark.integration
def test_state_under_the_present_settings_is_well(topics: Settings) -> None:
    keep_state(topics, topics)
    commit(topics, 0)
    assert bad(topics) == []
    (state,) = [check for check in examine(topics) if check.part == "state"]
    assert "3 open sessions in 1 partitions" in state.what


@pytest.mark.integration
def test_open_sessions_under_other_settings_fail_with_the_way_out(topics: Settings) -> None:
    keep_state(topics, topics.model_copy(update={"gap": 600_000}))
    commit(topics, 0)
    check = only(topics)
    assert check.status == "fail"
    assert "gap was 600000 and is 1800000" in check.what
    assert "clickstream drain" in check.remedy


@pytest.mark.integration
def test_other_settings_without_open_sessions_are_well(topics: Settings) -> None:
    keep_state(topics, topics.model_copy(update={"gap": 600_000}), open_sessions=0)
    commit(topics, 0)
    assert bad(topics) == []


@pytest.mark.integration
def test_open_sessions_in_another_format_fail_with_the_way_out(topics: Settings) -> None:
    keep_state(topics, topics, version=STATE_VERSION + 1)
    commit(topics, 0)
    check = only(topics)
    assert (check.part, check.status) == ("state", "fail")
    assert f"3 open sessions in format {STATE_VERSION + 1}" in check.what
    assert "clickstream drain" in check.remedy


@pytest.mark.integration
def test_another_format_without_open_sessions_is_well(topics: Settings) -> None:
    keep_state(topics, topics, open_sessions=0, version=STATE_VERSION + 1)
    commit(topics, 0)
    assert bad(topics) == []


@pytest.mark.integration
def test_offsets_that_were_set_back_fail(topics: Settings) -> None:
    with closing(Producer(topics)) as producer:
        for _ in range(5):
            producer.send(topics.clicks_topic, 0, None, click_json())
        producer.flush()
    keep_state(topics, topics, applied=4)
    commit(topics, 2)
    check = only(topics)
    assert check.status == "fail"
    assert "published up to offset 4" in check.what
    assert "2 now" in check.what


@pytest.mark.integration
def test_offsets_outside_the_log_fail(topics: Settings) -> None:
    commit(topics, 99)
    check = only(topics)
    assert check.status == "fail"
    assert "offset 99 of partition 0, the log holds 0 to 0" in check.what
    assert "--restart-from" in check.remedy


@pytest.mark.integration
def test_sessions_of_an_empty_redis_under_other_settings_fail_by_what_is_committed(topics: Settings) -> None:
    other = rules_text(topics.model_copy(update={"gap": 600_000}))
    commit(topics, 0, note_of(Partition(Rules(), 1_000, 4), other, topics.partitions))
    check = only(topics)
    assert check.status == "fail"
    assert "4 open sessions under other settings" in check.what


@pytest.mark.integration
def test_the_command_ends_with_1_when_something_fails_and_speaks_json(
    topics: Settings, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = topics.redis_url
    assert secret is not None
    for name in ("kafka_bootstrap", "clicks_topic", "scores_topic", "dead_letter_topic", "group", "home"):
        monkeypatch.setenv(f"CLICKSTREAM_{name.upper()}", str(getattr(topics, name)))
    monkeypatch.setenv("CLICKSTREAM_REDIS_URL", secret.get_secret_value())
    app = typer.Typer()
    app.command()(doctor)

    well = CliRunner().invoke(app, ["--bundle", str(bundle.path)])
    assert well.exit_code == 0, well.output
    assert "0 failed" in well.output

    ill = CliRunner().invoke(app, ["--json"])
    assert ill.exit_code == 1
    told = json.loads(ill.output)
    assert told["ok"] is False
    assert [check["part"] for check in told["checks"] if check["status"] == "fail"] == ["bundle"]


def test_files_of_secrets_and_keys_that_all_can_read_are_named(tmp_path: Path) -> None:
    identity = Authority(tmp_path).issue("serve", ends=3)
    for name, mode in (("bundle", 0o644), ("token", 0o604), ("password", 0o640)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    identity.key.chmod(0o644)
    settings = Settings(
        home=tmp_path,
        bundle_key_file=tmp_path / "bundle",
        lookup_token_file=tmp_path / "token",
        lookup_certificate_file=identity.certificate,
        lookup_key_file=identity.key,
        redis_password_file=tmp_path / "password",
    )
    said = [check.what for check in check_secret_files(settings) if check.status == "warn"]
    for file in (tmp_path / "bundle", tmp_path / "token", identity.key):
        assert any(f"{file} can be read by every user" in what for what in said)
    assert any("our certificate for serve" in what and "ends at" in what for what in said)
    assert len(said) == 4


@pytest.mark.parametrize("mechanism", ["PLAIN", "OAUTHBEARER", "SCRAM-SHA-512"])
def test_secrets_that_go_over_a_network_as_they_are_are_warned_of(tmp_path: Path, mechanism: str) -> None:
    shown: dict[str, Any] = {
        "home": tmp_path,
        "kafka_bootstrap": "127.0.0.1:9092,kafka-1:9092,[fd00::7]:9092",
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": mechanism,
        "kafka_username": "clicks",
        "kafka_password": "sesame",
        "redis_url": "redis://clicks:sesame@localhost:6379,redis-1:6379,10.0.0.7:6379",
        "redis_cluster": True,
    }
    if mechanism == "OAUTHBEARER":
        shown["kafka_token_url"] = "https://login.shop.example/token"

    def told(**changes: Any) -> list[str]:
        return [check.what for check in check_plaintext(Settings(**(shown | changes)))]

    word = {"PLAIN": "password", "OAUTHBEARER": "token"}.get(mechanism)
    kafka = [f"our {word} goes to {at}:9092 unencrypted" for at in ("kafka-1", "fd00::7") if word]
    redis = [f"the password goes to {at}:6379 unencrypted" for at in ("redis-1", "10.0.0.7")]
    assert [what.partition(" (")[0] for what in told()] == kafka + redis
    assert len(told(redis_url="redis://a-1:6379", redis_cluster=False)) == len(kafka)
    assert len(told(redis_url="redis://a-1", redis_cluster=False, redis_password="x")) == len(kafka) + 1
    assert told(kafka_security_protocol="SASL_SSL", redis_url="rediss://:sesame@redis-1:6379") == []
