"""Redis behind TLS, with users and passwords: what the settings say of it holds, and what lacks is told."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Identity
from pydantic import SecretStr
from redis.connection import SSLConnection
from shop import wait_for
from tls_door import tls_door

from clickstream.consumer.store import Store
from clickstream.infra.errors import ClickstreamError, ConfigurationError, UnavailableError
from clickstream.infra.redis import connect, translated
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.local.embedded import EmbeddedValkey
from clickstream.local.valkey_cluster import EmbeddedCluster
from clickstream.monitoring.health import Health, RedisProbe
from clickstream.operate.doctor.certificates import check_redis_certificates

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Secured:
    """A Valkey, and doors of TLS to it: `open` for all, `mutual` for whom `authority` vouches."""

    valkey: EmbeddedValkey
    authority: Authority
    settings: Settings
    open: int
    mutual: int
    elsewhere: int


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder / "certificates")
    client, server = authority.issue("client"), authority.issue("server")
    elsewhere = authority.issue("elsewhere", ["redis.example"])
    with ExitStack() as started:
        valkey = started.enter_context(EmbeddedValkey(folder / "valkey"))
        with valkey.client() as own:
            own.execute_command("ACL", "SETUSER", "scoring", "on", ">first", "~*", "+@all")
        ports = free_port(), free_port(), free_port()
        started.enter_context(tls_door(ports[0], valkey.port, server))
        started.enter_context(tls_door(ports[1], valkey.port, server, authority))
        started.enter_context(tls_door(ports[2], valkey.port, elsewhere))
        settings = Settings(
            home=folder,
            redis_url=SecretStr(f"rediss://scoring:first@127.0.0.1:{ports[1]}/0"),
            redis_ca_file=authority.file,
            redis_certificate_file=client.certificate,
            redis_key_file=client.key,
            patience=1_500,
        )
        yield Secured(valkey, authority, settings, *ports)


def at(port: int, password: str = "first", scheme: str = "rediss") -> dict[str, object]:
    return {"redis_url": SecretStr(f"{scheme}://scoring:{password}@127.0.0.1:{port}/0")}


NO_CERTIFICATE: dict[str, object] = {"redis_certificate_file": None, "redis_key_file": None}


def works(settings: Settings) -> None:
    with closing(Store(settings, "topic")) as store:
        assert store.claim(0, "token", 1, "id", proven=True).whole


def test_tls_with_an_authority_of_ones_own_and_a_certificate_for_us(secured: Secured) -> None:
    works(secured.settings)


def test_who_asks_for_no_certificate_gets_none(secured: Secured) -> None:
    works(secured.settings.model_copy(update=NO_CERTIFICATE | at(secured.open)))


def told(secured: Secured, kind: type[ClickstreamError], changes: dict[str, object]) -> str:
    """The message that a client with these settings gets."""
    with pytest.raises(kind) as caught:
        connect(secured.settings.model_copy(update=changes))
    return str(caught.value)


def test_a_server_that_is_not_who_it_should_be_is_not_spoken_to(secured: Secured) -> None:
    unknown = told(secured, ConfigurationError, {"redis_ca_file": None})
    assert "its certificate is not accepted" in unknown
    assert "CLICKSTREAM_REDIS_CA_FILE" in unknown
    assert "not valid for '127.0.0.1'" in told(secured, ConfigurationError, at(secured.elsewhere))


def test_what_we_lack_is_told(secured: Secured) -> None:
    assert "CLICKSTREAM_REDIS_CERTIFICATE_FILE" in told(secured, ClickstreamError, NO_CERTIFICATE)
    nowhere = Path("/nowhere/ca.pem")
    assert "/nowhere/ca.pem" in told(secured, ConfigurationError, {"redis_ca_file": nowhere})
    wrong = told(secured, ConfigurationError, at(secured.mutual, "second"))
    assert "refused the credentials" in wrong
    assert "second" not in wrong


def test_tls_on_one_side_alone_is_told(secured: Secured) -> None:
    assert "TLS is set" in told(secured, UnavailableError, at(secured.valkey.port))
    assert "rediss://" in told(secured, ConfigurationError, at(secured.open, scheme="redis"))
    plain = at(secured.open, scheme="redis") | NO_CERTIFICATE | {"redis_ca_file": None}
    assert "TLS is set" in told(secured, UnavailableError, plain)


def test_doctor_says_whose_the_certificates_are_and_when_they_end(secured: Secured) -> None:
    """Also of a door that we have no certificate for: what it shows is looked at before it asks for ours."""
    found = list(check_redis_certificates(secured.settings))
    assert [check.status for check in found] == ["ok"] * 3
    ours, authority, theirs = (check.what for check in found)
    assert "our certificate for Redis (CN=client) is good until" in ours
    assert "CLICKSTREAM_REDIS_CA_FILE is good until" in authority
    assert f"of Redis at 127.0.0.1:{secured.mutual}, for 127.0.0.1, localhost, signed by CN=tests," in theirs
    (wrong_host,) = check_redis_certificates(
        secured.settings.model_copy(update=NO_CERTIFICATE | at(secured.elsewhere) | {"redis_ca_file": None})
    )
    assert "for redis.example," in wrong_host.what


@pytest.mark.parametrize(("ends", "status"), [(-0.5, "fail"), (5.0, "warn")])
def test_doctor_says_that_our_certificate_for_redis_ended_or_ends_soon(
    secured: Secured, ends: float, status: str
) -> None:
    own = secured.authority.issue(f"ends-{ends}", ends=ends)
    changed = {"redis_certificate_file": own.certificate, "redis_key_file": own.key}
    found = check_redis_certificates(secured.settings.model_copy(update=changed))
    assert [check.status for check in found] == [status, "ok", "ok"]


def test_doctor_says_nothing_of_certificates_where_redis_is_plain(secured: Secured) -> None:
    plain = NO_CERTIFICATE | {"redis_ca_file": None}
    plain |= at(secured.valkey.port, scheme="redis")
    assert list(check_redis_certificates(secured.settings.model_copy(update=plain))) == []


def test_how_long_redis_is_away_is_counted_while_it_stands_still(secured: Secured) -> None:
    health = Health([RedisProbe(secured.settings)])

    def away() -> float:
        found = {one.labels: one.value for one in health.samples() if one.labels}
        seconds = found["redis",]
        assert isinstance(seconds, float)
        return seconds

    health.watch()
    try:
        health.turned()
        wait_for(lambda: health.ready().good, "Redis answers", 20)
        assert away() == 0
        secured.valkey.freeze()
        try:
            wait_for(lambda: away() > 1, "Redis is away for more than a second", 20)
            assert not health.ready().good
        finally:
            secured.valkey.thaw()
        wait_for(lambda: away() == 0, "Redis answers again", 20)
        assert health.ready().good
    finally:
        health.close()


def test_a_password_that_is_changed_is_taken_up_with_the_next_connection(
    secured: Secured, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    settings = secured.settings.model_copy(
        update={
            "redis_url": SecretStr(f"rediss://rotated@127.0.0.1:{secured.mutual}/0"),
            "redis_password_file": file,
        }
    )
    with secured.valkey.client() as own, closing(own):
        own.execute_command("ACL", "SETUSER", "rotated", "on", ">old", "~*", "+@all")
        with closing(connect(settings)) as client:
            own.execute_command("ACL", "SETUSER", "rotated", "resetpass", ">new")
            own.client_kill_filter(user="rotated")
            # Not the end of a running consumer: the file may be the last to be changed.
            with pytest.raises(UnavailableError), translated("asking", settings):
                client.ping()
            with pytest.raises(UnavailableError, match="refused"), translated("asking", settings):
                client.ping()
            file.write_text("new\n")
            with translated("asking", settings):
                assert client.ping()


def test_certificates_of_another_authority_are_taken_up_with_the_next_connection(
    secured: Secured, tmp_path: Path
) -> None:
    def issued() -> tuple[Authority, Identity, Identity]:
        authority = Authority(tmp_path)
        return authority, authority.issue("client"), authority.issue("server")

    authority, own, server = issued()
    port = free_port()
    files = {
        "redis_ca_file": authority.file,
        "redis_certificate_file": own.certificate,
        "redis_key_file": own.key,
    }
    settings = secured.settings.model_copy(update=files | at(port))
    with (
        tls_door(port, secured.valkey.port, server, authority),
        closing(connect(settings)) as client,
        secured.valkey.client() as admin,
    ):
        # In the place of the files that are there, for both sides.
        issued()
        assert client.ping(), "a connection that is there goes on"
        assert admin.client_kill_filter(user="scoring") > 0

        def answers() -> bool:
            # The end of a connection may be noticed before it is used, or by its use.
            with suppress(UnavailableError), translated("asking", settings):
                return bool(client.ping())
            return False

        wait_for(answers, "it answers on a new connection")


def announced(cluster: EmbeddedCluster) -> list[set[str]]:
    """What each node says where the nodes are."""
    found = []
    for node in cluster.nodes:
        with node.client() as own:
            slots = own.execute_command("CLUSTER SLOTS")
        found.append({f"{owner[0].decode()}:{owner[1]}" for _, _, owner, *_ in slots})
    return found


def test_a_cluster_behind_tls(secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what TLS 1.3 sends at the start has arrived before the connection is used."""
    connected = SSLConnection._connect

    def with_tickets(connection: SSLConnection) -> Any:
        found = connected(connection)  # type: ignore[no-untyped-call]
        select.select([found], [], [], 5)
        return found

    monkeypatch.setattr(SSLConnection, "_connect", with_tickets)
    server = secured.authority.issue("node")
    with EmbeddedCluster(tmp_path / "cluster", masters=3, replicas=0) as cluster, ExitStack() as doors:
        places = []
        for node in cluster.nodes:
            port = free_port()
            doors.enter_context(tls_door(port, node.port, server, secured.authority))
            with node.client() as own:
                own.config_set("cluster-announce-port", port)
            places.append(f"127.0.0.1:{port}")
        wait_for(lambda: announced(cluster) == [set(places)] * 3, "the nodes announce their doors")
        settings = secured.settings.model_copy(
            update={"redis_url": SecretStr(f"rediss://{places[0]},{places[1]}"), "redis_cluster": True}
        )
        works(settings)
        with closing(connect(settings)) as client:
            found = {f"{node.host}:{node.port}" for node in client.get_primaries()}
        assert found == set(places)
