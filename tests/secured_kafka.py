"""A broker that asks who is there, with a listener for each way of saying it, and ACLs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from certificates import LOOPBACK, Authority, Identity
from kafka.admin import (
    ConfigResource,
    ConfigResourceType,
    KafkaAdminClient,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from shop import wait_for
from token_endpoint import AUDIENCE, TokenEndpoint

from clickstream.drills.proxy import Proxy
from clickstream.local.broker import EmbeddedKafka
from clickstream.local.child import HOST
from clickstream.operate.doctor.x509 import read_certificate, served_certificate

USER = "clicks"
PASSWORD = "sesame"
"""Of a user that may do everything, by each of the ways: password, token or certificate."""
ROTATED = "rotated"
"""Another, whose password tests may change."""
SESSION_MS = 2_000
"""So long, and no longer than its token, who comes to SESSION_DOOR is known; then it must say it again."""

_LISTENERS: Mapping[str, tuple[str, str]] = {
    "TLS": ("SSL", "broker"),
    "MUTUAL": ("SSL", "broker"),
    "MUTUAL_DOOR": ("SSL", "broker"),
    "MUTUAL_SASL": ("SASL_SSL", "broker"),
    "SASL_TLS": ("SASL_SSL", "broker"),
    "SASL_BARE": ("SASL_PLAINTEXT", "broker"),
    "SASL_DOOR": ("SASL_SSL", "broker"),
    "SESSION_DOOR": ("SASL_SSL", "broker"),
    "ELSEWHERE": ("SASL_SSL", "elsewhere"),
    "EXPIRED": ("SSL", "expired"),
    "EARLY": ("SSL", "early"),
    "ENDING": ("SSL", "ending"),
}
"""Each listener's protocol, and the identity that the broker shows there."""

_MODULES = "org.apache.kafka.common.security"
_JAAS = {
    "plain": f'{_MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
    "scram-sha-256": f"{_MODULES}.scram.ScramLoginModule required;",
    "scram-sha-512": f"{_MODULES}.scram.ScramLoginModule required;",
    "oauthbearer": f"{_MODULES}.oauthbearer.OAuthBearerLoginModule required;",
}
_SECURED = f"""
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{USER};User:{ROTATED}
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT
sasl.oauthbearer.expected.audience={AUDIENCE}
"""


class SecuredKafka(EmbeddedKafka):
    """`listeners` by name, host:port; `authority` signed all certificates.

    The listener between brokers, `bootstrap`, asks nothing, and who comes there may do everything: for
    the tests' own administration (users, ACLs). Who comes by TLS without a certificate is nobody
    (User:ANONYMOUS too). Clients of a listener `…_DOOR` come through one of `doors`, which can be cut.
    `USER` may do everything; others may do what ACLs say.
    """

    def __init__(self, folder: Path, tokens: TokenEndpoint) -> None:
        super().__init__(folder, doors=list(_LISTENERS))
        self.authority = Authority(folder / "certificates")
        self.tokens = tokens
        self.doors = {name: Proxy() for name in _LISTENERS if name.endswith("_DOOR")}
        self._behind = dict(zip(_LISTENERS, self.door_ports, strict=True))
        self.listeners = {name: f"{HOST}:{port}" for name, port in self._behind.items()}
        self.listeners |= {name: door.address for name, door in self.doors.items()}
        self._doors = list(self.listeners.values())
        for name, hosts, begins, ends in (
            ("broker", LOOPBACK, -1, 90),
            ("elsewhere", ("kafka.shop.example",), -1, 90),
            ("expired", LOOPBACK, -30, -2),
            ("early", LOOPBACK, 5, 90),
            ("ending", LOOPBACK, -1, 9.5),
        ):
            self.authority.issue(name, hosts, begins, ends)

    def client_identity(self, user: str = USER, password: str | None = None) -> Identity:
        """A certificate by which the listener MUTUAL knows `user`; its key in `password`, where given."""
        return self.authority.issue(user, (), password=password)

    def turn_to(self, listener: str, authority: Authority) -> None:
        """Have a listener show a certificate that `authority` signed, and take only those that it signed.

        Authorities are told apart by their names.
        """
        prefix = f"listener.name.door{list(_LISTENERS).index(listener)}.ssl"
        files = {
            f"{prefix}.keystore.location": str(authority.issue("broker").both.absolute()),
            f"{prefix}.truststore.location": str(authority.file.absolute()),
        }
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            asked = [ConfigResource(ConfigResourceType.BROKER, str(self.node), files)]
            # It knows the names of settings, and none of a setting of one listener.
            changed = admin.alter_configs(asked, raise_on_unknown=False)
        assert changed == {"broker": {str(self.node): "OK"}}, changed

        def is_shown() -> bool:
            shown = served_certificate(HOST, self._behind[listener], 1.0)
            return shown is not None and shown.issuer == read_certificate(authority.file).subject

        # The broker says OK, and each of its network threads takes it up a moment later. They take turns with
        # new connections.
        wait_for(lambda: all(is_shown() for _ in range(6)), f"{listener} shows the other certificate")

    def set_password(self, user: str, password: str) -> None:
        """For SCRAM-SHA-256 and SCRAM-SHA-512: a new user, or another password of one."""
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
                change = UserScramCredentialUpsertion(user, mechanism, password)
                wrong = admin.alter_user_scram_credentials([change])
                assert not any(wrong.values()), wrong

    def start(self, deadline_s: float = 60.0) -> None:
        """Start it, and have it know `USER`."""
        super().start(deadline_s)
        for name, door in self.doors.items():
            door.start((HOST, self._behind[name]))
        self.set_password(USER, PASSWORD)

    def __exit__(self, *_: object) -> None:
        for door in self.doors.values():
            door.close()
        self.stop()

    def _prepare(self) -> list[str]:
        java, *arguments = super()._prepare()
        # Kafka fetches keys from addresses only that its own process was told to trust.
        return [java, f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.tokens.keys_url}", *arguments]

    def _write(self, role: str, properties: str, logging: str) -> None:
        if role == "broker":
            properties = self._secured(properties)
        super()._write(role, properties, logging)

    def _secured(self, properties: str) -> str:
        lines = [properties, _SECURED, f"sasl.oauthbearer.jwks.endpoint.url={self.tokens.keys_url}"]
        for number, (name, (protocol, identity)) in enumerate(_LISTENERS.items()):
            lines[0] = lines[0].replace(f"DOOR{number}:PLAINTEXT", f"DOOR{number}:{protocol}")
            prefix = f"listener.name.door{number}."
            lines += [
                f"{prefix}ssl.keystore.type=PEM",
                f"{prefix}ssl.keystore.location=certificates/{identity}-both.pem",
            ]
            if name.startswith("MUTUAL"):
                lines += [
                    f"{prefix}ssl.client.auth=required",
                    f"{prefix}ssl.truststore.type=PEM",
                    f"{prefix}ssl.truststore.location=certificates/{self.authority.file.name}",
                ]
            if protocol.startswith("SASL"):
                lines.append(f"{prefix}sasl.enabled.mechanisms={','.join(_JAAS).upper()}")
                lines += [f"{prefix}{way}.sasl.jaas.config={module}" for way, module in _JAAS.items()]
                if name == "SESSION_DOOR":
                    lines += [f"{prefix}{way}.connections.max.reauth.ms={SESSION_MS}" for way in _JAAS]
                lines.append(
                    f"{prefix}oauthbearer.sasl.server.callback.handler.class="
                    f"{_MODULES}.oauthbearer.OAuthBearerValidatorCallbackHandler"
                )
        return "\n".join(lines) + "\n"
