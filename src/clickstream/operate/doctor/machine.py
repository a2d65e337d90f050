"""What needs no server: this Python, its libraries, the rules, the bundle, servers that we could start."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from clickstream.bundles.bundle import load_bundle
from clickstream.features.words import goal_in_words
from clickstream.infra.errors import BundleError, ConfigurationError
from clickstream.infra.settings import Settings, format_duration
from clickstream.infra.words import counted
from clickstream.local.embedded import find_valkey
from clickstream.local.java import find_java
from clickstream.operate.doctor.check import Check, failed
from clickstream.records.shops import load_shop

_CLIENT = "3.0.12"
_FAST_CLIENT = "2.16.1"
_CODECS = {"crc32c": "checksums of records are computed in Python", "lz4": "lz4 records cannot be read"}


def check_machine(settings: Settings) -> Iterator[Check]:
    """Check everything that can be checked without Kafka and Redis."""
    yield from _python()
    yield _client(settings)
    yield _horizon(settings)
    yield from _models(settings)
    if settings.kafka_bootstrap is None:
        yield _embedded_kafka(settings)
    if settings.redis_url is None:
        yield _embedded_redis()


def _python() -> Iterator[Check]:
    running = ".".join(map(str, sys.version_info[:3]))
    # An older one than 3.11 does not come so far: pip refuses to install the package.
    yield Check("python", "ok", f"Python {running}")
    client = _version("kafka-python")
    if client == _CLIENT:
        yield Check("libraries", "ok", f"kafka-python {client}")
    else:
        yield Check(
            "libraries",
            "fail",
            f"kafka-python {client or 'is not installed'}: its transactions are bounded by private names of"
            f" {_CLIENT}",
            f"pip install kafka-python=={_CLIENT}",
        )
    for name, cost in _CODECS.items():
        found = _version(name)
        if found:
            yield Check("libraries", "ok", f"{name} {found}")
        else:
            yield Check("libraries", "fail", f"{name} is not installed: {cost}", f"pip install {name}")


def _client(settings: Settings) -> Check:
    """Which library the loop of a consumer runs on, by these settings, and when the other would be better."""
    found = _version("confluent-kafka")
    if settings.kafka_client == "kafka-python":
        return Check(
            "libraries",
            "info",
            "consumers read and publish with kafka-python (kafka_client); where they are short of CPU,"
            " confluent-kafka serves better: it takes a quarter less for the same scores",
            ("It is installed: set" if found else "pip install 'clickstream-scoring[fast]', and set")
            + " CLICKSTREAM_KAFKA_CLIENT=confluent-kafka for one consumer after another.",
        )
    if found is None:
        return Check(
            "libraries",
            "fail",
            "consumers are to read and publish with confluent-kafka (kafka_client), which is not installed",
            "pip install 'clickstream-scoring[fast]', or unset CLICKSTREAM_KAFKA_CLIENT.",
        )
    if found != _FAST_CLIENT:
        return Check(
            "libraries",
            "warn",
            f"consumers read and publish with confluent-kafka {found}, tried is {_FAST_CLIENT}: a consumer"
            " ends where it cannot read from it which generation of its group it is in",
            f"pip install confluent-kafka=={_FAST_CLIENT}",
        )
    return Check("libraries", "ok", f"consumers read and publish with confluent-kafka {found} (kafka_client)")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _horizon(settings: Settings) -> Check:
    reach = settings.gap + settings.allowed_lateness
    horizon = format_duration(settings.rebuild_horizon)
    if settings.rebuild_horizon > reach:
        return Check("rules", "ok", f"rebuild_horizon {horizon} covers gap and allowed_lateness")
    return Check(
        "rules",
        "fail",
        f"rebuild_horizon {horizon} is not beyond gap + allowed_lateness ({format_duration(reach)}): after a"
        " loss of Redis, sessions would be lost",
        f"Set CLICKSTREAM_REBUILD_HORIZON above {format_duration(reach)}; several times that is better.",
    )


def _models(settings: Settings) -> Iterator[Check]:
    try:
        shop = load_shop(settings.shop)
    except ConfigurationError as error:
        yield failed("shop", error)
        return
    yield Check(
        "shop", "ok", f"{shop.definition.name} {shop.definition.hash}: {goal_in_words(shop.definition)}"
    )
    yield _bundle(settings)


def _bundle(settings: Settings) -> Check:
    try:
        bundle = load_bundle(settings)
    except (BundleError, ConfigurationError) as error:
        return failed("bundle", error)
    data = bundle.manifest.data
    return Check(
        "bundle", "ok", f"{bundle.id} verified, trained on {counted(data.sessions, 'session')} of {data.name}"
    )


def _embedded_kafka(settings: Settings) -> Check:
    try:
        java = find_java()
    except ConfigurationError as error:
        return failed("kafka", error)
    jars = settings.home / "kafka" / "jars"
    stored = "its jars are here" if jars.is_dir() else f"its jars will be downloaded to {jars}"
    return Check(
        "kafka",
        "warn",
        f"no Kafka is named and none of ours runs; one can be started ({java}; {stored})",
        "Run `clickstream up`, or set CLICKSTREAM_KAFKA_BOOTSTRAP to host:port.",
    )


def _embedded_redis() -> Check:
    try:
        binary = find_valkey()
    except ConfigurationError as error:
        return failed("redis", error)
    return Check(
        "redis",
        "warn",
        f"no Redis is named and none of ours runs; one can be started ({binary})",
        "Run `clickstream up`, or set CLICKSTREAM_REDIS_URL to redis://host:port/0.",
    )
