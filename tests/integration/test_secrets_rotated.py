"""A password or certificates that change while a consumer runs: the next connection takes the new ones."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Authority
from secured_kafka import ROTATED, USER, SecuredKafka
from shop import Shop, plan_of, wait_for

from clickstream.bundles.bundle import load_bundle
from clickstream.consumer.assembly import open_engine
from clickstream.infra.errors import ClickstreamError, ConfigurationError
from clickstream.infra.settings import Settings

pytestmark = pytest.mark.integration

clients = pytest.mark.parametrize("client", ["kafka-python", "confluent-kafka"])


class Running:
    """The engine of a consumer, on a thread; `error` is what ended it."""

    def __init__(self, settings: Settings) -> None:
        self.error: ClickstreamError | None = None
        self._engine = open_engine(settings, load_bundle(settings))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._engine.run()
        except ClickstreamError as error:
            self.error = error

    def stop(self) -> None:
        self._engine.stop()
        self._thread.join()


@contextmanager
def half_scored(
    settings: Settings, folder: Path, given: Mapping[str, object]
) -> Iterator[tuple[Shop, Running, Callable[[], None]]]:
    """A shop with 100 sessions, a consumer that has scored half of them, and what sends the rest: all of it
    must be scored.
    """
    given = {**settings.model_dump(), **given, "partitions": 2, "patience": 5_000}
    shop = Shop(Settings.model_validate(given), folder / "logs")
    plan = plan_of(shop.settings, 100)
    consumer = Running(shop.settings)

    def scored(records: int, what: str) -> None:
        wait_for(lambda: shop.scored() == records or consumer.error is not None, what)

    def send_the_rest() -> None:
        shop.publish(plan, after=150)
        scored(shop.records(), "all is scored")
        assert consumer.error is None

    try:
        shop.publish(plan, until=150)
        scored(150, "half is scored")
        yield shop, consumer, send_the_rest
    finally:
        consumer.stop()


@clients
def test_a_consumer_goes_on_with_another_password_and_ends_without_it(
    settings: Settings, bundle: Path, secured_kafka: SecuredKafka, tmp_path: Path, client: str
) -> None:
    file, door = tmp_path / "password", secured_kafka.doors["SASL_DOOR"]
    secured_kafka.set_password(ROTATED, "first")
    file.write_text("first\n")
    given = {
        "kafka_client": client,
        "kafka_bootstrap": secured_kafka.listeners["SASL_DOOR"],
        "kafka_security_protocol": "SASL_SSL",
        "kafka_username": ROTATED,
        "kafka_password_file": file,
        "kafka_ca_file": secured_kafka.authority.file,
        "bundle": str(bundle),
    }
    with half_scored(settings, tmp_path, given) as (shop, consumer, send_the_rest):
        secured_kafka.set_password(ROTATED, "second")
        file.write_text("second\n")
        door.cut()
        send_the_rest()
        report = shop.audit()
        assert report.clean
        assert report.scored == 100

        secured_kafka.set_password(ROTATED, "third")
        door.cut()
        wait_for(lambda: consumer.error is not None, "it ends")
        assert isinstance(consumer.error, ConfigurationError)
        assert f"refused the credentials of '{ROTATED}'" in consumer.error.what


def _hand_over(authority: Authority, folder: Path) -> None:
    """Put an authority, and our certificate and key of it, in the place of those that are there."""
    identity = authority.issue(USER, ())
    for file, name in ((authority.file, "ca"), (identity.certificate, "own"), (identity.key, "key")):
        shutil.copy(file, folder / f"{name}.new")
    for name in ("ca", "own", "key"):
        (folder / f"{name}.new").replace(folder / f"{name}.pem")


@clients
def test_a_consumer_goes_on_with_other_certificates_of_another_authority(
    settings: Settings, bundle: Path, secured_kafka: SecuredKafka, tmp_path: Path, client: str
) -> None:
    first, second = (Authority(tmp_path / name, f"{name} {client}") for name in ("first", "second"))
    secured_kafka.turn_to("MUTUAL_DOOR", first)
    _hand_over(first, tmp_path)
    given = {
        "kafka_client": client,
        "kafka_bootstrap": secured_kafka.listeners["MUTUAL_DOOR"],
        "kafka_security_protocol": "SSL",
        "kafka_ca_file": tmp_path / "ca.pem",
        "kafka_certificate_file": tmp_path / "own.pem",
        "kafka_key_file": tmp_path / "key.pem",
        "bundle": str(bundle),
    }
    with half_scored(settings, tmp_path, given) as (shop, _, send_the_rest):
        secured_kafka.turn_to("MUTUAL_DOOR", second)
        _hand_over(second, tmp_path)
        secured_kafka.doors["MUTUAL_DOOR"].cut()
        send_the_rest()
        assert len({score["score_id"] for score in shop.scores()}) == len(shop.scores()) == 100
