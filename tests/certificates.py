"""Certificates as tests need them: of an authority of their own, right or wrong in one thing."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as PEM files; `both` is one file with the key first, as Kafka wants it."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs; its own certificate, which it signed itself, is `file`."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name, self._called = _named(name), name
        certificate = _certificate(self._name, self._key.public_key(), self._name, -1, 3650).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = folder / "ca.pem"
        self.file.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def hand_into(self, folder: Path) -> None:
        """Put its certificate where OpenSSL looks in a folder of many: by a hash of whom it is for."""
        called = self._called.lower().encode()
        name = bytes((6, 3, 85, 4, 3, 12, len(called))) + called
        name = bytes((0x31, len(name) + 2, 0x30, len(name))) + name
        found = hashlib.sha1(name).digest()[3::-1].hex()
        folder.mkdir(exist_ok=True)
        (folder / f"{found}.0").write_bytes(self.file.read_bytes())

    def issue(
        self,
        subject: str,
        names: Sequence[str] = LOOPBACK,
        begins: float = -1,
        ends: float = 90,
        password: str | None = None,
    ) -> Identity:
        """A certificate for `subject`, of hosts or addresses `names`, valid between two days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _certificate(_named(subject), key.public_key(), self._name, begins, ends)
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(one) for one in names]), False)
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
        files = Identity(*(self._folder / f"{subject}{end}.pem" for end in ("", "-key", "-both")))
        for file, content in zip(
            (files.certificate, files.key, files.both),
            (certificate, private, private + certificate),
            strict=True,
        ):
            file.touch(mode=0o600)
            file.write_bytes(content)
        return files


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name, begins: float, ends: float
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begins))
        .not_valid_after(now + datetime.timedelta(days=ends))
    )
