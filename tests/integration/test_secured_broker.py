"""A broker that asks who is there: what the settings say of it holds for each client, by each way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
from certificates import Authority
from pydantic import SecretStr
from secured_kafka import PASSWORD, USER, SecuredKafka
from shop import wait_for
from token_endpoint import TokenEndpoint

from clickstream.consumer.clients import clients_of
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.errors import ConfigurationError
from clickstream.infra.kafka import Membership, OutgoingRecord
from clickstream.infra.kafka.refusal import refusal
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port

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


class Connected(Protocol):
    """Makes settings that are right, of a client and a way."""

    def __call__(self, client: Client, way: str, **more: Any) -> Settings: ...


@pytest.fixture
def connected(settings: Settings, secured_kafka: SecuredKafka, tmp_path: Path) -> Connected:
    def made(client: Client, way: str, **more: Any) -> Settings:
        listener, protocol, mechanism = WAYS[way]
        given: dict[str, Any] = {
            "kafka_client": client,
            "kafka_bootstrap": secured_kafka.listeners[listener],
            "kafka_security_protocol": protocol,
            "patience": 5_000,
            "partitions": 1,
        }
        if "SSL" in protocol:
            given["kafka_ca_file"] = secured_kafka.authority.file
        if listener == "MUTUAL":
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
@pytest.mark.parametrize("way", WAYS)
def test_who_is_known_reads_and_publishes(connected: Connected, client: Client, way: str) -> None:
    assert _published_and_read(connected(client, way)) == [b"a"]


@pytest.mark.parametrize("client", CLIENTS)
def test_without_a_ca_file_the_authorities_of_ssl_cert_file_count(
    connected: Connected, secured_kafka: SecuredKafka, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secured_kafka.authority.file))
    assert _published_and_read(connected(client, "TLS", kafka_ca_file=None)) == [b"a"]


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
