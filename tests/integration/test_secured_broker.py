"""A broker behind TLS that asks for a password: what the settings say of it holds for each client."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr
from shop import wait_for

from clickstream.consumer.clients import clients_of
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.kafka import Membership, OutgoingRecord
from clickstream.infra.settings import Settings
from clickstream.local.broker import EmbeddedKafka

pytestmark = pytest.mark.integration

_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_SECURED = """
listener.name.door0.sasl.enabled.mechanisms=PLAIN
listener.name.door0.plain.sasl.jaas.config={login} user_clicks="sesame";
listener.name.door0.ssl.keystore.type=PEM
listener.name.door0.ssl.keystore.location={pem}
"""


class SecuredKafka(EmbeddedKafka):
    """Its door is one of SASL_SSL, with a certificate of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, doors=[""])
        self.door = f"127.0.0.1:{self.door_ports[0]}"
        self._doors = (self.door,)

    def _write(self, role: str, properties: str, logging: str) -> None:
        properties = properties.replace("DOOR0:PLAINTEXT", "DOOR0:SASL_SSL")
        secured = _SECURED.format(login=_LOGIN, pem=self.folder / "broker.pem")
        super()._write(role, properties + secured, logging)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address and certificate of the broker."""
    folder = tmp_path_factory.mktemp("secured") / "kafka"
    folder.mkdir()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        ["openssl", *words.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    (folder / "broker.pem").write_text(key.read_text() + certificate.read_text())
    with SecuredKafka(folder) as kafka:
        yield kafka.door, certificate


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def trusted(request: pytest.FixtureRequest, settings: Settings, secured: tuple[str, Path]) -> Settings:
    """Settings that are right, of each client."""
    bootstrap, certificate = secured
    client: Literal["kafka-python", "confluent-kafka"] = request.param
    return settings.model_copy(
        update={
            "kafka_client": client,
            "kafka_bootstrap": bootstrap,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "PLAIN",
            "kafka_username": "clicks",
            "kafka_password": SecretStr("sesame"),
            "kafka_ca_file": certificate,
            "patience": 5_000,
            "partitions": 1,
        }
    )


def test_who_knows_the_password_reads_and_publishes(trusted: Settings) -> None:
    topic = prepare_topics(trusted).name
    clients = clients_of(trusted)
    writer = clients.transactions(trusted, f"{trusted.group}-writer")
    writer.publish([OutgoingRecord(topic, 0, None, b"a")], topic, {}, Membership(-1, None), lambda: None)
    writer.discard()
    with closing(clients.group(trusted, topic, "")) as member:
        wait_for(lambda: not member.poll(100, 10) and bool(member.assignment()), "it is assigned", 30)
        member.start(0, 0)
        found: list[bytes | None] = []

        def read() -> bool:
            found.extend(record.value for part in member.poll(100, 10).values() for record in part)
            return bool(found)

        wait_for(read, "it is read", 30)
    assert found == [b"a"]


def test_who_does_not_know_it_is_told_so(trusted: Settings) -> None:
    topic = prepare_topics(trusted).name
    wrong = trusted.model_copy(update={"kafka_password": SecretStr("open sesame"), "patience": 2_000})
    # kafka-python is not told why the broker hangs up on it.
    kind = UnavailableError if trusted.kafka_client == "kafka-python" else ConfigurationError
    clients = clients_of(wrong)
    for connect in (
        lambda: clients.group(wrong, topic, ""),
        lambda: clients.transactions(wrong, f"{wrong.group}-writer"),
    ):
        with pytest.raises(kind) as caught:
            connect()
        assert "CLICKSTREAM_KAFKA_PASSWORD" in caught.value.remedy
        assert "open sesame" not in str(caught.value)


def test_a_broker_that_nobody_vouches_for_is_not_spoken_to(trusted: Settings) -> None:
    unknown = trusted.model_copy(update={"kafka_ca_file": None, "patience": 2_000})
    with pytest.raises(UnavailableError, match="did not answer"):
        clients_of(unknown).transactions(unknown, "writer")
