"""The certificates of Kafka, of Redis, and ours: whose they are, and how long they are good."""

from __future__ import annotations

import datetime
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka.credentials import tls_context, uses_tls
from clickstream.infra.reach import hosts_of
from clickstream.infra.redis_address import redis_address
from clickstream.infra.settings import Settings
from clickstream.operate.doctor.check import Check, failed
from clickstream.operate.doctor.sentinels import data_hosts
from clickstream.operate.doctor.x509 import Certificate, read_certificate, served_certificate

_SOON = datetime.timedelta(days=14)
_MOST_WAIT_S = 3.0


def check_kafka_certificates(settings: Settings) -> Iterator[Check]:
    """Check what TLS to Kafka needs; that the brokers take it is seen when they are asked."""
    if not uses_tls(settings):
        return
    try:
        tls_context(settings)
    except ClickstreamError as error:
        yield failed("tls", error)
    else:
        yield from _files("Kafka", settings.kafka_certificate_file, settings.kafka_ca_file)
    yield from _served("Kafka", hosts_of(settings.kafka_bootstrap))


def check_redis_certificates(settings: Settings) -> Iterator[Check]:
    """Check what TLS to Redis needs: a server, some nodes of a cluster, or Sentinels and whom they watch.

    Settings that contradict each other are told when it is asked.
    """
    with suppress(ClickstreamError):
        found = redis_address(settings)
        if found.encrypted:
            yield from _files("Redis", settings.redis_certificate_file, settings.redis_ca_file)
            yield from _served("Redis", (*found.hosts, *data_hosts(settings)))


def check_secret_files(settings: Settings) -> Iterator[Check]:
    """Check that nobody else can read the files of secrets and keys; and our own certificate of `serve`."""
    for name in type(settings).model_fields:
        secret = name.endswith("_file") and hasattr(settings, name.removesuffix("_file"))
        if not (secret or name.endswith("_key_file")):
            continue
        file: Path | None = getattr(settings, name)
        if file is not None and (open_to := _readable_by_all(file)):
            yield open_to
    yield from _files("serve", settings.lookup_certificate_file, None)


def _files(server: str, ours: Path | None, authority: Path | None) -> Iterator[Check]:
    try:
        if ours is not None:
            certificate = read_certificate(ours)
            yield _time(f"our certificate for {server} ({certificate.subject})", certificate)
        if authority is not None:
            named = f"the authority in CLICKSTREAM_{server.upper()}_CA_FILE"
            yield _time(named, read_certificate(authority))
    except ClickstreamError as error:
        yield failed("tls", error)


def _served(server: str, hosts: Iterable[tuple[str, int]]) -> Iterator[Check]:
    for host, port in hosts:
        shown = served_certificate(host, port, _MOST_WAIT_S)
        if shown is not None:
            yield _time(
                f"the certificate of {server} at {host}:{port}, for {', '.join(shown.names) or 'no host'},"
                f" signed by {shown.issuer},",
                shown,
            )


def _time(whose: str, certificate: Certificate) -> Check:
    now = datetime.datetime.now(datetime.UTC)
    begins, ends = (f"{at:%Y-%m-%d %H:%M} UTC" for at in (certificate.begins, certificate.ends))
    if now < certificate.begins:
        return Check(
            "tls",
            "fail",
            f"{whose} is not valid before {begins}",
            "Check this machine's clock; else have another made.",
        )
    if now > certificate.ends:
        return Check("tls", "fail", f"{whose} ended at {ends}", "Have it renewed.")
    if certificate.ends - now < _SOON:
        days = (certificate.ends - now).days
        return Check(
            "tls",
            "warn",
            f"{whose} ends at {ends}, in {days} days",
            "Renew it: connections that exist go on, new ones are refused from then on.",
        )
    return Check("tls", "ok", f"{whose} is good until {ends}")


def _readable_by_all(file: Path) -> Check | None:
    try:
        mode = file.expanduser().stat().st_mode
    except OSError:
        return None
    if not mode & stat.S_IROTH:
        return None
    return Check(
        "tls",
        "warn",
        f"{file} can be read by every user of this machine (mode {stat.S_IMODE(mode):04o})",
        f"chmod o-r {file}",
    )
