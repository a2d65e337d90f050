"""Every setting once: name, default, unit, environment variable.

A setting `allowed_lateness` is read from `CLICKSTREAM_ALLOWED_LATENESS`. Durations are written with a unit
("250ms", "60s", "30min", "6h") and held in milliseconds.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from clickstream.infra.errors import ConfigurationError

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


_DURATION = BeforeValidator(parse_duration)
Duration = Annotated[int, _DURATION, Field(ge=0)]


class Settings(BaseSettings):
    """One frozen object that is handed to whatever needs it."""

    model_config = SettingsConfigDict(env_prefix="CLICKSTREAM_", frozen=True, extra="ignore")

    home: Path = Field(
        default_factory=lambda: Path.home() / ".local" / "share" / "clickstream",
        description="folder for the embedded servers' data, the model bundles and downloaded jars",
    )

    kafka_bootstrap: str | None = Field(None, description="host:port[,host:port]; none = embedded Kafka")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: Path | None = Field(None, description="PEM file with the authority of the brokers")
    redis_url: SecretStr | None = Field(
        None, description="redis://[user:password@]host:port/db; none = embedded Valkey"
    )
    redis_cluster: bool = Field(False, description="the URL names a node of a Redis Cluster")

    clicks_topic: str = "clicks"
    scores_topic: str = "scores"
    dead_letter_topic: str = "clicks.dead-letter"
    partitions: Annotated[int, Field(ge=1, le=1024)] = Field(8, description="of a topic that we create")
    replication_factor: Annotated[int, Field(ge=1, le=9)] = Field(1, description="of a topic that we create")

    group: Annotated[str, Field(min_length=1, max_length=200)] = "clickstream-scoring"
    instance: str | None = Field(
        None, description="stable name of this consumer; a restart takes over at once"
    )

    gap: Duration = Field(1_800_000, description="inactivity that closes a session (T3)")
    allowed_lateness: Duration = Field(
        60_000, description="how far behind the newest click one may come (T1)"
    )
    max_ahead: Duration = Field(300_000, description="event time beyond the record's Kafka timestamp (T8)")
    max_clicks: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1_000, description="clicks that close a window"
    )
    max_pending: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1_000, description="unsettled clicks of one session; beyond it the oldest settles early"
    )
    max_open_sessions: Annotated[int, Field(ge=1, le=200_000)] = Field(
        50_000, description="open sessions of one partition; beyond it the one due first closes"
    )
    max_record_bytes: Annotated[int, Field(ge=256)] = Field(65_536, description="size of a record on clicks")

    idle_after: Duration = Field(
        60_000, description="silence after which an owner writes a heartbeat; 0 = off"
    )
    commit_interval: Duration = Field(1_000, description="longest time an offset without results waits")
    rebuild_horizon: Duration = Field(
        21_600_000, description="event time replayed when Redis is found empty (kept in each commit)"
    )
    max_poll_records: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    session_timeout: Duration = Field(
        6_000, description="silence after which the group gives partitions away"
    )
    patience: Duration = Field(10_000, description="longest wait for one answer of a server")

    bundle: str = Field("champion", description="bundle id, path of a bundle, or champion")
    bundle_key: Annotated[SecretStr, AfterValidator(_long_enough)] | None = Field(
        None, description="key that bundles are signed with; with one, others are refused"
    )
    bundle_key_file: Path | None = Field(None, description="file with that key, instead of bundle_key")
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0, description="port of /metrics, /healthz and /readyz of a consumer, its own for each; 0 = none"
    )
    metrics_host: str = Field("127.0.0.1", description="address that this is served on")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.max_ahead >= self.gap:
            raise ValueError(
                f"max_ahead ({format_duration(self.max_ahead)}) must be below gap"
                f" ({format_duration(self.gap)}): one wrong clock could close everybody's sessions"
            )
        if re.search(r"[{}\s]", self.group + self.clicks_topic):
            raise ValueError("group and clicks_topic must not contain braces or blanks")
        if self.bundle_key is not None and self.bundle_key_file is not None:
            raise ValueError("bundle_key and bundle_key_file are both set; one is enough")
        return self

    @property
    def bundles(self) -> Path:
        """The folder with the model bundles."""
        return self.home / "bundles"

    @property
    def rules(self) -> dict[str, int]:
        """What decides how a log becomes sessions, in ms and counts."""
        return {
            "gap": self.gap,
            "allowed_lateness": self.allowed_lateness,
            "max_ahead": self.max_ahead,
            "max_clicks": self.max_clicks,
            "max_pending": self.max_pending,
            "max_open_sessions": self.max_open_sessions,
            "max_record_bytes": self.max_record_bytes,
        }


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables that make `load_settings` give exactly these settings, secrets included."""
    variables = {}
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        unit = "ms" if _DURATION in field.metadata else ""
        variables[f"CLICKSTREAM_{name.upper()}"] = f"{value}{unit}"
    return variables


_SECRETS = frozenset(name for name, field in Settings.model_fields.items() if "SecretStr" in repr(field))


def fingerprint(rules: dict[str, int]) -> str:
    """Twelve hexadecimal digits that differ when any rule differs."""
    text = ";".join(f"{name}={rules[name]}" for name in sorted(rules))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with `overrides` (None = not given) on top.

    Raises:
        ConfigurationError: a value is wrong; names the variable and the value.
    """
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
