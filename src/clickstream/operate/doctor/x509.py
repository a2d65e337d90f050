"""What certificates say: whose they are, who signed them, when they end."""

from __future__ import annotations

import datetime
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from clickstream.infra.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Certificate:
    """`names` are the hosts and addresses that it is for; both times are UTC."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    begins: datetime.datetime
    ends: datetime.datetime


def read_certificate(file: Path) -> Certificate:
    """The first certificate of a PEM file.

    Raises:
        ConfigurationError: it cannot be read, or holds none.
    """
    try:
        return _told(x509.load_pem_x509_certificate(file.expanduser().read_bytes()))
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error.strerror}", "Check the path, and that this user may."
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{file} holds no certificate in PEM", "Name another file.") from error


def served_certificate(host: str, port: int, timeout_s: float) -> Certificate | None:
    """That which a server shows, trusted or not; None where none is to be had."""
    # Nothing is sent to whoever this is; it is only looked at.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
        return None if shown is None else _told(x509.load_der_x509_certificate(shown))
    except (OSError, ValueError):
        return None


def _told(certificate: x509.Certificate) -> Certificate:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = tuple(str(name.value) for name in extension.value)
    except x509.ExtensionNotFound:
        names = ()
    return Certificate(
        certificate.subject.rfc4514_string(),
        certificate.issuer.rfc4514_string(),
        names,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
