"""Every setting once: name, default, unit, environment variable.

A setting `allowed_lateness` is read from `CLICKSTREAM_ALLOWED_LATENESS`. Durations are written with a unit
("250ms", "60s", "30min", "6h") and held in milliseconds.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.tokens import check_endpoint

SHORTEST_KEY = 32
"""Characters of a key for bundles: as many bytes as the hash gives (RFC 2104, section 3)."""

_UNITS = {"ms": 1, "s": 1_000, "min": 60_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_duration(value: Any) -> Any:
    """Milliseconds of "250ms", "60s", "30min", "6h" or "1d"; an int is taken as milliseconds.

    Raises:
        ValueError: the text is no duration, or has no unit.
    """
    if not isinstance(value, str) or value == "0":
        return value
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)\s*", value)
    if found is None:
        raise ValueError(f"{value!r} is not a duration; write it with a unit, as 250ms, 60s, 30min or 6h")
    return round(float(found[1]) * _UNITS[found[2]])


def format_duration(ms: int) -> str:
    """The shortest exact spelling: 1800000 -> "30min"."""
    for unit in ("d", "h", "min", "s"):
        if ms and ms % _UNITS[unit] == 0:
            return f"{ms // _UNITS[unit]}{unit}"
    return f"{ms}ms"


def _long_enough(key: SecretStr) -> SecretStr:
    length = len(key.get_secret_value())
    if length < SHORTEST_KEY:
        raise ValueError(
            f"a key has {SHORTEST_KEY} characters or more, as `openssl rand -hex 32` writes it;"
            f" this has {length}"
        )
    return key


def _click_numbers(asked: str) -> str:
    if not re.fullmatch(r"off|each|[1-9]\d{0,4}(,[1-9]\d{0,4})*", asked):
        raise ValueError("it is `off`, `each`, or numbers of clicks as 1,2,3,5,8,13")
    return asked


_DURATION = BeforeValidator(parse_duration)
Duration = Annotated[int, _DURATION, Field(ge=0)]


def is_duration(field: FieldInfo) -> bool:
    """Whether a setting is a duration: written with a unit, held in milliseconds."""
    return _DURATION in field.metadata


def default_home() -> Path:
    """`$XDG_DATA_HOME/clickstream`; ~/.local/share/clickstream without that variable, or where it is there.

    Raises:
        ConfigurationError: this user has no home folder.
    """
    try:
        usual = Path.home() / ".local" / "share" / "clickstream"
    except RuntimeError as error:
        raise ConfigurationError(
            "this user has no home folder", "Set HOME, or CLICKSTREAM_HOME to a folder that can be written."
        ) from error
    named = _xdg_folder("XDG_DATA_HOME")
    return usual if named is None or os.path.exists(usual) else named


def jar_folder(home: Path) -> Path:
    """Where Kafka's jars are kept: in `$XDG_CACHE_HOME/clickstream` for the default home, else in `home`.

    Jars that are in `home` already are used there.
    """
    inside = home / "kafka"
    cache = _xdg_folder("XDG_CACHE_HOME")
    if cache is None or os.path.exists(inside / "jars") or home != default_home():
        return inside
    return cache / "kafka"


def _xdg_folder(variable: str) -> Path | None:
    # The specification has a path that is not absolute ignored.
    named = Path(os.environ.get(variable, ""))
    return named / "clickstream" if named.is_absolute() else None


_FOR_TLS = (
    "kafka_ca_file",
    "kafka_certificate_file",
    "kafka_key_file",
    "kafka_key_password",
    "kafka_key_password_file",
)
_FOR_SASL = (
    "kafka_sasl_mechanism",
    "kafka_username",
    "kafka_password",
    "kafka_password_file",
    "kafka_token_url",
    "kafka_token_scope",
)


class Settings(BaseSettings):
    """All settings, from the environment (`CLICKSTREAM_…`) or by name: one frozen object.

    Durations are kept in milliseconds and may be written with a unit. A wrong value raises
    `pydantic.ValidationError`, a ValueError that names the field.

    >>> from clickstream import Settings
    >>> settings = Settings(group="shop", gap="20min")
    >>> settings.group, settings.gap, settings.rules["gap"]
    ('shop', 1200000, 1200000)
    """

    model_config = SettingsConfigDict(
        env_prefix="CLICKSTREAM_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    home: Path = Field(
        default_factory=default_home,
        description="folder of the model bundles, of Kafka's jars, and of the data of the servers that `up`"
        " and `demo` start; where `XDG_DATA_HOME` is set and the default is not there yet,"
        " `$XDG_DATA_HOME/clickstream`, and likewise jars in `$XDG_CACHE_HOME/clickstream`",
    )
    shop: str = Field(
        "uci553",
        description="the shop: the name of one that is built in, or a shop file (docs/own-shop.md), which"
        " says what a click carries, what is computed of a session, what a conversion is",
    )
    bundle: str = Field(
        "champion",
        description="bundle id, path of a bundle, or `champion`: the one that `train` or `models promote` put"
        " in use last; running consumers follow it",
    )
    bundle_store: Annotated[str, Field(pattern=r"^s3://[^/\s]+(/\S*)?$")] | None = Field(
        None,
        description="`s3://bucket/prefix`: the S3-compatible store where all machines find the bundles and"
        " which one is in use; `home` then holds copies. Needs the extra `s3`; endpoint and credentials are"
        " those that boto3 finds (docs/bundles.md)",
    )
    bundle_key: Annotated[SecretStr, AfterValidator(_long_enough)] | None = Field(
        None,
        description=f"key that bundles are signed with, {SHORTEST_KEY} characters or more; with one, unsigned"
        " and wrongly signed bundles are refused",
    )
    bundle_key_file: Path | None = Field(
        None,
        description=f"file with that key, {SHORTEST_KEY} to 4,096 bytes without the line end, instead of"
        " `bundle_key`",
    )

    kafka_bootstrap: str | None = Field(
        None,
        description="`host:port[,host:port]`; none = the Kafka that `up` or `demo` runs with this `home`",
    )
    kafka_client: Literal["kafka-python", "confluent-kafka"] = Field(
        "kafka-python",
        description="library that a consumer reads clicks and publishes scores with; `confluent-kafka` costs"
        " less and needs the extra `fast`. Results are the same, members of one group may differ",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to talk to the brokers"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="used with a `SASL_…` protocol"
    )
    kafka_username: str | None = Field(
        None, description="used with a `SASL_…` protocol; with `OAUTHBEARER` the id of the client"
    )
    kafka_password: SecretStr | None = Field(
        None, description="of that user; with `OAUTHBEARER` the secret of the client"
    )
    kafka_password_file: Path | None = Field(
        None, description="file with it, read anew for each connection, instead of `kafka_password`"
    )
    kafka_token_url: str | None = Field(
        None,
        description="used with `OAUTHBEARER`: where the client gets its tokens (client credentials grant)",
    )
    kafka_token_scope: str | None = Field(None, description="scope of these tokens")
    kafka_ca_file: Path | None = Field(
        None, description="PEM file with the authority that signed the brokers' certificates"
    )
    kafka_certificate_file: Path | None = Field(
        None, description="PEM file with the client's certificate, where the brokers ask for one"
    )
    kafka_key_file: Path | None = Field(None, description="PEM file with the key of that certificate")
    kafka_key_password: SecretStr | None = Field(None, description="of that key, where it is encrypted")
    kafka_key_password_file: Path | None = Field(
        None, description="file with it, instead of `kafka_key_password`"
    )
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://[user:password@]host:port/db`, `rediss://…` for TLS; `host:port,host:port`"
        " names several nodes of a cluster, or Sentinels; none = the Valkey that `up` or `demo` runs with"
        " this `home`",
    )
    redis_cluster: bool = Field(False, description="the URL names nodes of a Redis Cluster")
    redis_sentinel_service: str | None = Field(
        None,
        description="the URL names Sentinels, and this is what they call the master; user and password of the"
        " URL are the master's",
    )
    redis_sentinel_password: SecretStr | None = Field(None, description="what the Sentinels ask for")
    redis_sentinel_password_file: Path | None = Field(
        None, description="file with it, instead of `redis_sentinel_password`"
    )
    redis_password: SecretStr | None = Field(None, description="instead of one in the URL")
    redis_password_file: Path | None = Field(
        None, description="file with it, read anew for each connection, instead of `redis_password`"
    )
    redis_ca_file: Path | None = Field(
        None,
        description="PEM file with the authority that signed the certificate of Redis; none = those that this"
        " machine trusts. Host names are checked",
    )
    redis_certificate_file: Path | None = Field(
        None, description="PEM file with our certificate, where Redis asks for one"
    )
    redis_key_file: Path | None = Field(None, description="PEM file with the key of that certificate")

    clicks_topic: str = Field("clicks", description="topic that is read")
    scores_topic: str = Field("scores", description="topic of the scores")
    dead_letter_topic: str = Field(
        "clicks.dead-letter", description="topic of the records that could not be counted"
    )
    open_scores_topic: str = Field("scores.open", description="topic of the open scores")
    partitions: Annotated[int, Field(ge=1, le=1024)] = Field(
        8, description="of a topic that a command creates"
    )
    replication_factor: Annotated[int, Field(ge=1, le=9)] | None = Field(
        None,
        description="of a topic that a command creates; with 3 or more, two copies must have a record before"
        " it counts as written; without it, as the brokers do for any topic",
    )

    group: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        "clickstream-scoring",
        description="consumer group, 1 to 200 characters; part of the Redis keys and of the transactional id",
    )
    instance: str | None = Field(
        None,
        description="stable name of this consumer, its own for each; a restart takes over at once",
    )
    session_timeout: Duration = Field(
        6_000,
        description="silence after which the group gives a consumer's partitions away; heartbeats go out each"
        " 500 ms, or four times in this time",
    )

    gap: Duration = Field(1_800_000, description="inactivity that closes a session (T3)")
    allowed_lateness: Duration = Field(
        60_000, description="how far behind the newest click one may come (T1)"
    )
    max_ahead: Duration = Field(
        300_000,
        description="how far an event time may be beyond the record's Kafka timestamp (T8); below `gap`",
    )
    max_behind: Duration = Field(
        0,
        description="how far an event time may be before the record's Kafka timestamp (T8); 0 = however far,"
        " as for clicks of the past; not below `allowed_lateness`",
    )
    max_clicks: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1_000, description="distinct clicks that close a window (T3)"
    )
    max_pending: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1_000, description="waiting clicks of one session; beyond it the oldest settles early"
    )
    max_open_sessions: Annotated[int, Field(ge=1, le=200_000)] = Field(
        50_000, description="session ids open on one partition; beyond it the one due first closes"
    )
    max_record_bytes: Annotated[int, Field(ge=256)] = Field(
        65_536, description="bytes of a value on `clicks`; a larger one is a dead letter"
    )

    open_scores: Annotated[str, AfterValidator(_click_numbers)] = Field(
        "off",
        description="when a session is scored while it is open: `each` = at each click, `1,2,3,5,8,13` ="
        " when it has so many, `off` = not; the same for all consumers of a group and for its audit",
    )
    open_conditions: Annotated[str, Field(max_length=10_000)] = Field(
        "",
        description="conditions that each give an open score when they begin to hold, once a session:"
        " `leaving: conversion < 0.2 and clicks >= 3; likely: conversion > 0.5` (docs/open-sessions.md)",
    )

    max_poll_records: Annotated[int, Field(ge=1, le=100_000)] = Field(
        10_000, description="records of one poll, that is of one step"
    )
    commit_interval: Duration = Field(
        1_000,
        description="longest time that an offset waits for a transaction when nothing was to be published",
    )
    idle_after: Duration = Field(
        60_000,
        description="silence (wall clock) after which the owner of a partition writes a heartbeat (T6); 0 ="
        " never",
    )
    rebuild_horizon: Duration = Field(
        21_600_000,
        description="event time that is replayed when Redis is found empty; longer than `gap` +"
        " `allowed_lateness`",
    )
    patience: Duration = Field(
        10_000, description="longest wait for one answer of a server; also the timeout of a transaction"
    )

    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0,
        description="port on which a consumer serves `/metrics`, `/healthz` and `/readyz`, its own for each"
        " consumer; 0 = none",
    )
    metrics_host: str = Field(
        "127.0.0.1", description="address that this is served on; `0.0.0.0` = all of the machine's"
    )
    lookup_token: Annotated[SecretStr, AfterValidator(_long_enough)] | None = Field(
        None,
        description=f"token that `serve` asks for (`Authorization: Bearer …`), {SHORTEST_KEY} characters or"
        " more; needed where it listens beyond this machine",
    )
    lookup_token_file: Path | None = Field(
        None, description="file with it, read when `serve` starts, instead of `lookup_token`"
    )
    lookup_certificate_file: Path | None = Field(
        None, description="PEM file with the certificate by which `serve` speaks TLS, read when it starts"
    )
    lookup_key_file: Path | None = Field(None, description="PEM file with the key of that certificate")
    dashboard_read_only: bool = Field(
        False, description="the pages of the dashboard show all, and promote and roll back nothing"
    )
    dashboard_user_header: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")] | None = Field(
        None,
        description="header in which the proxy before the dashboard names who logged in, as"
        " `X-Forwarded-Email`; with one, nobody else is shown a page (docs/dashboard.md)",
    )
    dashboard_proxy_secret: Annotated[SecretStr, AfterValidator(_long_enough)] | None = Field(
        None,
        description=f"what that proxy sends as `X-Clickstream-Proxy-Secret`, {SHORTEST_KEY} characters or"
        " more; needed where the dashboard listens beyond this machine",
    )
    dashboard_proxy_secret_file: Path | None = Field(
        None, description="file with it, read for each page, instead of `dashboard_proxy_secret`"
    )
    dashboard_promoters: Annotated[str, Field(max_length=10_000)] = Field(
        "",
        description="with a login, who may promote and roll back: names as the proxy gives them, with commas"
        " between; the others look",
    )
    dashboard_login_lasts: Annotated[Duration, Field(ge=1)] = Field(
        3_600_000,
        description="with a login, how long after a page was opened through the proxy it may promote; then it"
        " is reloaded, and the proxy asks again who that is",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="what is logged: this, and what is worse"
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto` = `console` on a terminal, else JSON lines"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.max_ahead >= self.gap:
            raise ValueError(
                f"max_ahead ({format_duration(self.max_ahead)}) must be below gap"
                f" ({format_duration(self.gap)}): one wrong clock could close everybody's sessions"
            )
        if 0 < self.max_behind < self.allowed_lateness:
            raise ValueError(
                f"max_behind ({format_duration(self.max_behind)}) must be 0 or not below allowed_lateness"
                f" ({format_duration(self.allowed_lateness)}): clicks that are not late would be refused"
            )
        if re.search(r"[{}\s]", self.group + self.clicks_topic):
            raise ValueError("group and clicks_topic must not contain braces or blanks")
        for name in type(self).model_fields:
            file = f"{name}_file"
            if getattr(self, name) is not None and getattr(self, file, None) is not None:
                raise ValueError(f"{name} and {file} are both set; one is enough")
        for server in ("kafka", "redis", "lookup"):
            if (getattr(self, f"{server}_certificate_file") is None) != (
                getattr(self, f"{server}_key_file") is None
            ):
                raise ValueError(f"{server}_certificate_file and {server}_key_file belong together; set both")
        return self

    @model_validator(mode="after")
    def _kafka_is_told_who_we_are(self) -> Settings:
        protocol = self.kafka_security_protocol
        if not protocol.endswith("SSL"):
            # A connection without TLS would be made, and nobody would hear that these count for nothing.
            self._refuse_unused(_FOR_TLS, "SSL or SASL_SSL")
        if not protocol.startswith("SASL"):
            self._refuse_unused(_FOR_SASL, "SASL_SSL or SASL_PLAINTEXT")
            return self
        if self.kafka_token_url is not None:
            check_endpoint(self.kafka_token_url)
        needed = {
            "kafka_username": self.kafka_username,
            "kafka_password or kafka_password_file": self.kafka_password or self.kafka_password_file,
        }
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            needed["kafka_token_url"] = self.kafka_token_url
        missing = [name for name, value in needed.items() if not value]
        if missing:
            raise ValueError(
                f"kafka_security_protocol {self.kafka_security_protocol} with kafka_sasl_mechanism"
                f" {self.kafka_sasl_mechanism} needs {' and '.join(missing)}"
            )
        return self

    def _refuse_unused(self, names: Iterable[str], protocols: str) -> None:
        # Processes hand each other all settings: a default that is written out says nothing.
        given = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
        if given:
            raise ValueError(
                f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} set, and kafka_security_protocol"
                f" {self.kafka_security_protocol} makes no use of that: set it to {protocols}, or leave"
                f" {'it' if len(given) == 1 else 'them'} out"
            )

    @property
    def bundles(self) -> Path:
        """The folder with the model bundles."""
        return self.home / "bundles"

    @property
    def rules(self) -> dict[str, int]:
        """What decides how a log becomes sessions, in ms and counts. A bound that is off is not in it."""
        return {name: getattr(self, name) for name in RULES if name != "max_behind" or self.max_behind}


RULES = (
    "gap",
    "allowed_lateness",
    "max_ahead",
    "max_behind",
    "max_clicks",
    "max_pending",
    "max_open_sessions",
    "max_record_bytes",
)
"""The settings that decide how a log becomes sessions."""


def opens(settings: Settings) -> bool:
    """Whether there are open scores: something is said of sessions while they are open."""
    return settings.open_scores != "off" or bool(settings.open_conditions)


def score_topics(settings: Settings) -> tuple[str, ...]:
    """The topics that scores go to: one, and where there are open scores another."""
    return (settings.scores_topic, *((settings.open_scores_topic,) if opens(settings) else ()))


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables that make `load_settings` give exactly these settings, secrets included."""
    variables = {}
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        unit = "ms" if is_duration(field) else ""
        variables[f"CLICKSTREAM_{name.upper()}"] = f"{value}{unit}"
    return variables


_NOT_SETTINGS = frozenset(
    {"CLICKSTREAM_DATA", "CLICKSTREAM_FAILPOINT", "CLICKSTREAM_DRILL_SEED", "CLICKSTREAM_RIGHTS_TAKEN"}
)
"""Variables of ours that are no settings: the dataset, and those of the drills and tests."""


def unknown_variables(environment: Iterable[str]) -> list[tuple[str, str | None]]:
    """The variables named `CLICKSTREAM_…` that nothing reads, each with the known one most like it."""
    known = _NOT_SETTINGS | {f"CLICKSTREAM_{name.upper()}" for name in Settings.model_fields}
    strange = sorted(
        name
        for name in environment
        if (upper := name.upper()).startswith("CLICKSTREAM_") and upper not in known
    )
    return [
        (name, next(iter(difflib.get_close_matches(name.upper(), known, 1, 0.8)), None)) for name in strange
    ]


_PROTECTS = re.compile(
    r"_(PASSWORD|SECRET|TOKEN|KEY|CERTIFICATE|CA_FILE|SECURITY|SASL|USERNAME|READ_ONLY|USER_HEADER|PROMOTERS)"
)
"""Settings that keep somebody out, or something secret."""
_OF_A_SERVICE = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$")
"""Variables that Kubernetes makes of a service `clickstream-…`: nobody wrote them."""


def _refuse_misspelt_protection(environment: Iterable[str]) -> None:
    for name, nearest in unknown_variables(environment):
        if nearest and _PROTECTS.search(nearest) and not _OF_A_SERVICE.search(name.upper()):
            raise ConfigurationError(
                f"{name} is no setting and does nothing, and {nearest} protects something",
                f"Write it as {nearest} if that is meant; else give it another name, or remove it.",
            )


_SECRETS = frozenset(name for name, field in Settings.model_fields.items() if "SecretStr" in repr(field))


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with `overrides` (None = not given) on top.

    Raises:
        ConfigurationError: a value is wrong; names the variable and the value. Or a variable is no setting,
            and its name is most like one that protects something: that would be left out.
    """
    _refuse_misspelt_protection(os.environ)
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = [
            f"{'CLICKSTREAM_' + str(part['loc'][0]).upper() if part['loc'] else 'settings'}: {part['msg']}"
            + (f" (got {part['input']!r})" if part["loc"] and part["loc"][0] not in _SECRETS else "")
            for part in error.errors()
        ]
        raise ConfigurationError(
            "\n".join(problems), "Correct the option or the environment variable of that name."
        ) from error
