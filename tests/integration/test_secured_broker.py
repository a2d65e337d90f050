"""A broker that asks who is there: what the settings say of it holds for each client, by each way."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import pytest
from certificates import Authority
from pydantic import SecretStr
from secured_kafka import PASSWORD, SESSION_MS, USER, SecuredKafka
from shop import wait_for
from token_endpoint import TokenEndpoint

from clickstream.consumer.clients import clients_of
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.kafka import Admin, Membership, OutgoingRecord, Producer
from clickstream.infra.kafka.credentials import token_source
from clickstream.infra.kafka.refusal import refusal
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.operate.doctor.certificates import check_kafka_certificates

pytestmark = pytest.mark.integration

Client = Literal["kafka-python", "confluent-kafka"]
CLIENTS: tuple[Client, ...] = ("kafka-python", "confluent-kafka")

Way = tuple[str, str, str | None]
"""Listener, protocol, mechanism."""

WAYS: Mapping[str, Way] = {
    "TLS": ("TLS", "SSL", None),
    "mutual TLS": ("MUTUAL", "SSL", None),
    "mutual TLS, encrypted key": ("MUTUAL", "SSL", None),
    "SASL_SSL PLAIN": ("SASL_TLS", "SASL_SSL", "PLAIN"),
    "SASL_SSL SCRAM-SHA-256": ("SASL_TLS", "SASL_SSL", "SCRAM-SHA-256"),
    "SASL_SSL SCRAM-SHA-512": ("SASL_TLS", "SASL_SSL", "SCRAM-SHA-512"),
    "SASL_SSL OAUTHBEARER": ("SASL_TLS", "SASL_SSL", "OAUTHBEARER"),
    "SASL_PLAINTEXT SCRAM-SHA-256": ("SASL_BARE", "SASL_PLAINTEXT", "SCRAM-SHA-256"),
}
RARE: Mapping[str, Way] = {
    "SASL_SSL SCRAM-SHA-512, mutual TLS": ("MUTUAL_SASL", "SASL_SSL", "SCRAM-SHA-512"),
    "SASL_PLAINTEXT PLAIN": ("SASL_BARE", "SASL_PLAINTEXT", "PLAIN"),
    "SASL_PLAINTEXT SCRAM-SHA-512": ("SASL_BARE", "SASL_PLAINTEXT", "SCRAM-SHA-512"),
    "SASL_PLAINTEXT OAUTHBEARER": ("SASL_BARE", "SASL_PLAINTEXT", "OAUTHBEARER"),
}
"""Put together of what the others try."""


class Connected(Protocol):
    """Makes settings that are right, of a client and a way."""

    def __call__(self, client: Client, way: str, **more: Any) -> Settings: ...


@pytest.fixture
def connected(settings: Settings, secured_kafka: SecuredKafka, tmp_path: Path) -> Connected:
    def made(client: Client, way: str, **more: Any) -> Settings:
        listener, protocol, mechanism = {**WAYS, **RARE}[way]
        given: dict[str, Any] = {
            "kafka_client": client,
            "kafka_bootstrap": secured_kafka.listeners[listener],
            "kafka_security_protocol": protocol,
            "patience": 5_000,
            "partitions": 1,
        }
        if "SSL" in protocol:
            given["kafka_ca_file"] = secured_kafka.authority.file
        if listener.startswith("MUTUAL"):
            word = "open" if "encrypted" in way else None
            identity = secured_kafka.client_identity(password=word)
            given |= {"kafka_certificate_file": identity.certificate, "kafka_key_file": identity.key}
            if word is not None:
                (tmp_path / "key-password").write_text(f"{word}\n")
                given["kafka_key_password_file"] = tmp_path / "key-password"
        if mechanism is not None:
            (tmp_path / "password").write_text(f"{PASSWORD}\n")
            given |= {
                "kafka_sasl_mechanism": mechanism,
                "kafka_username": USER,
                "kafka_password_file": tmp_path / "password",
            }
            if mechanism == "OAUTHBEARER":
                given |= {"kafka_token_url": secured_kafka.tokens.url, "kafka_token_scope": "kafka"}
        return Settings(**(settings.model_dump() | given | more))

    return made


def _published_and_read(settings: Settings) -> list[bytes | None]:
    topic = prepare_topics(settings).name
    clients = clients_of(settings)
    writer = clients.transactions(settings, f"{settings.group}-writer")
    writer.publish([OutgoingRecord(topic, 0, None, b"a")], topic, {}, Membership(-1, None), lambda: None)
    writer.discard()
    found: list[bytes | None] = []
    with closing(clients.group(settings, topic, "")) as member:
        wait_for(lambda: not member.poll(100, 10) and bool(member.assignment()), "it is assigned")
        member.start(0, 0)

        def read() -> bool:
            found.extend(record.value for part in member.poll(100, 10).values() for record in part)
            return bool(found)

        wait_for(read, "it is read")
    return found


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", [*WAYS, *(pytest.param(way, marks=pytest.mark.drill) for way in RARE)])
def test_who_is_known_reads_and_publishes(connected: Connected, client: Client, way: str) -> None:
    assert _published_and_read(connected(client, way)) == [b"a"]


@pytest.mark.parametrize("client", CLIENTS)
def test_without_a_ca_file_the_authorities_of_ssl_cert_file_and_ssl_cert_dir_count(
    connected: Connected,
    secured_kafka: SecuredKafka,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = connected(client, "TLS", kafka_ca_file=None)
    monkeypatch.setenv("SSL_CERT_FILE", str(secured_kafka.authority.file))
    assert _published_and_read(settings) == [b"a"]
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path / "others", "others").file))
    secured_kafka.authority.hand_into(tmp_path / "folder")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "folder"))
    clients_of(settings).group(settings, settings.clicks_topic, "").close()


class Member:
    """A member of a group, which reads what somebody else publishes."""

    def __init__(self, settings: Settings, secured_kafka: SecuredKafka) -> None:
        free = {"kafka_bootstrap": secured_kafka.bootstrap, "kafka_security_protocol": "PLAINTEXT"}
        self._group, self._topic = settings.group, prepare_topics(settings).name
        self._others = ExitStack()
        self._admin = self._others.enter_context(closing(Admin(settings.model_copy(update=free))))
        self._producer = self._others.enter_context(closing(Producer(settings.model_copy(update=free))))
        self._client: Any = clients_of(settings).group(settings, self._topic, "")

    def poll(self) -> list[bytes | None]:
        """What is new; nothing where there was an error of those that pass."""
        with suppress(UnavailableError):
            polled = self._client.poll(50, 10)
            for partition in self._client.newly_assigned():
                self._client.start(partition, 0)
            return [record.value for part in polled.values() for record in part]
        return []

    def read(self, value: bytes) -> None:
        """Have it published, and read it."""
        self._producer.send(self._topic, 0, b"key", value, timestamp=0)
        self._producer.flush()
        wait_for(lambda: value in self.poll(), f"{value!r} is read")

    @property
    def is_in(self) -> bool:
        """Whether the group has it, by what the broker says."""
        return bool(self._admin.group_state(self._group, self._topic).members)

    def beats_no_more(self) -> bool:
        """Whether what sends heartbeats has ended, of kafka-python."""
        return bool(self._client._consumer._coordinator._heartbeat_loop_future.is_done)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._others.close()


@pytest.mark.drill
@pytest.mark.parametrize("client", CLIENTS)
def test_where_a_session_ends_the_connection_stays(
    connected: Connected, secured_kafka: SecuredKafka, client: Client
) -> None:
    door = secured_kafka.doors["SESSION_DOOR"]
    settings = connected(client, "SASL_SSL OAUTHBEARER", kafka_bootstrap=door.address)
    with Member(settings, secured_kafka) as member:
        member.read(b"a")
        connections, ended = door.connections, time.monotonic() + 1.3 * SESSION_MS / 1000
        wait_for(lambda: bool(member.poll()) or time.monotonic() > ended, "a session has ended")
        member.read(b"b")
        assert door.connections == connections


def test_a_member_that_had_no_token_for_a_while_comes_back(
    connected: Connected, secured_kafka: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other client keeps its token, and asks for another after 10 s: tried by hand, docs/kafka.md."""
    given = {"kafka_bootstrap": secured_kafka.listeners["SESSION_DOOR"], "session_timeout": 1_000}
    settings = connected("kafka-python", "SASL_SSL OAUTHBEARER", **given)
    with Member(settings, secured_kafka) as member:
        member.read(b"a")
        monkeypatch.setattr(secured_kafka.tokens, "busy", True)
        token_source(settings).forget()
        wait_for(member.beats_no_more, "its heartbeats have ended")
        wait_for(lambda: not member.is_in, "it is out of the group")
        monkeypatch.setattr(secured_kafka.tokens, "busy", False)
        wait_for(lambda: bool(member.poll()) or member.is_in, "it is in the group")
        member.read(b"b")


def _said_by_clients(wrong: Settings, topic: str) -> Iterator[str]:
    clients = clients_of(wrong)
    for connect in (
        lambda: clients.group(wrong, topic, ""),
        lambda: clients.transactions(wrong, f"{wrong.group}-writer"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            connect()
        yield str(caught.value)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_wrong_password_ends_each_client_with_a_word_about_it(connected: Connected, client: Client) -> None:
    right = connected(client, "SASL_SSL SCRAM-SHA-512", patience=2_000)
    topic = prepare_topics(right).name
    update = {"kafka_password": SecretStr("open sesame"), "kafka_password_file": None}
    for said in _said_by_clients(right.model_copy(update=update), topic):
        assert "refused the credentials of 'clicks' by SCRAM-SHA-512" in said
        assert "CLICKSTREAM_KAFKA_PASSWORD" in said
        assert "open sesame" not in said


@pytest.mark.parametrize("client", CLIENTS)
def test_a_certificate_of_another_host_is_not_taken(
    connected: Connected, secured_kafka: SecuredKafka, client: Client
) -> None:
    right = connected(client, "SASL_SSL PLAIN", patience=2_000)
    topic = prepare_topics(right).name
    wrong = right.model_copy(update={"kafka_bootstrap": secured_kafka.listeners["ELSEWHERE"]})
    for said in _said_by_clients(wrong, topic):
        assert "its certificate is of another host" in said


def _changed(
    secured_kafka: SecuredKafka, other: TokenEndpoint, case: str, folder: Path
) -> tuple[str, dict[str, Any]]:
    """The way that is right, and what is then wrong of it."""
    listeners = secured_kafka.listeners
    match case:
        case "a password of PLAIN":
            return "SASL_SSL PLAIN", {"kafka_password": SecretStr("x"), "kafka_password_file": None}
        case "a user that is not there":
            return "SASL_PLAINTEXT SCRAM-SHA-256", {"kafka_username": "nobody"}
        case "a secret of a client":
            return "SASL_SSL OAUTHBEARER", {"kafka_password": SecretStr("x"), "kafka_password_file": None}
        case "tokens of another endpoint":
            # Its keys are not those that the broker knows.
            return "SASL_SSL OAUTHBEARER", {"kafka_token_url": other.url}
        case "no token endpoint":
            return "SASL_SSL OAUTHBEARER", {"kafka_token_url": f"http://127.0.0.1:{free_port()}/token"}
        case "a port without passwords":
            return "SASL_SSL PLAIN", {"kafka_bootstrap": listeners["TLS"]}
        case "an ended certificate":
            return "TLS", {"kafka_bootstrap": listeners["EXPIRED"]}
        case "a certificate of the future":
            return "TLS", {"kafka_bootstrap": listeners["EARLY"]}
        case "an unknown authority":
            return "TLS", {"kafka_ca_file": Authority(folder / "others", "others").file}
        case "no certificate of ours":
            return "mutual TLS", {"kafka_certificate_file": None, "kafka_key_file": None}
        case "our certificate has ended":
            ended = secured_kafka.authority.issue("ended", (), -5, -1)
            return "mutual TLS", {"kafka_certificate_file": ended.certificate, "kafka_key_file": ended.key}
    raise AssertionError(case)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("a password of PLAIN", "refused the credentials of 'clicks' by PLAIN"),
        ("a user that is not there", "refused the credentials of 'nobody' by SCRAM-SHA-256"),
        ("a secret of a client", "refuses the client 'clicks'"),
        ("tokens of another endpoint", "refused the credentials of 'clicks' by OAUTHBEARER"),
        ("no token endpoint", "does not answer"),
        ("a port without passwords", "asks for no user there"),
        ("an ended certificate", "not valid now (certificate has expired)"),
        ("a certificate of the future", "not valid now (certificate is not yet valid)"),
        ("an unknown authority", "nobody that we trust signed its certificate"),
        ("no certificate of ours", "refuses our certificate, or that there is none"),
        ("our certificate has ended", "refuses our certificate, or that there is none"),
    ],
)
def test_what_is_refused_is_named(
    connected: Connected, secured_kafka: SecuredKafka, tmp_path: Path, case: str, words: str
) -> None:
    with TokenEndpoint() as other:
        way, update = _changed(secured_kafka, other, case, tmp_path)
        right = connected("kafka-python", way)
        assert refusal(right) is None
        refused = refusal(right.model_copy(update=update))
    assert refused is not None
    assert words in refused.what
    assert refused.remedy
    # An endpoint that is away is waited for, as a broker that is away.
    assert refused.retriable is (case == "no token endpoint")


def test_a_broker_that_is_away_refuses_nobody(connected: Connected) -> None:
    away = {"kafka_bootstrap": f"127.0.0.1:{free_port()}"}
    assert refusal(connected("kafka-python", "SASL_SSL PLAIN").model_copy(update=away)) is None


@pytest.mark.parametrize(
    ("listener", "status", "words"),
    [
        ("TLS", "ok", "for 127.0.0.1, localhost, signed by CN=tests, is good until"),
        ("ELSEWHERE", "ok", "for kafka.shop.example, signed by CN=tests, is good until"),
        ("ENDING", "warn", "in 9 days"),
        ("EXPIRED", "fail", "ended at"),
        ("EARLY", "fail", "is not valid before"),
    ],
)
def test_doctor_says_whose_the_certificates_are_and_when_they_end(
    connected: Connected, secured_kafka: SecuredKafka, listener: str, status: str, words: str
) -> None:
    address = secured_kafka.listeners[listener]
    ours, authority, served = check_kafka_certificates(
        connected("kafka-python", "mutual TLS", kafka_bootstrap=address)
    )
    assert (ours.status, authority.status, served.status) == ("ok", "ok", status)
    assert "our certificate for Kafka (CN=clicks)" in ours.what
    assert "the authority in CLICKSTREAM_KAFKA_CA_FILE" in authority.what
    assert f"the certificate of Kafka at {address}, for " in served.what
    assert words in served.what
