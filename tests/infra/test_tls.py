"""Files of certificates and keys: what is wrong with which is said before anything connects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from certificates import Authority, Identity

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.tls import client_context
from clickstream.operate.doctor.x509 import read_certificate

SETTING = "CLICKSTREAM_KAFKA"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def identity(authority: Authority) -> Identity:
    return authority.issue("us", ("us.example", "10.0.0.1"))


def _refused(authority: Authority, shown: Identity, password: str | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        client_context(SETTING, authority.file, shown.certificate, shown.key, password)
    assert caught.value.remedy
    return caught.value.what


def test_what_fits_is_taken(authority: Authority, identity: Identity) -> None:
    context = client_context(SETTING, authority.file, identity.certificate, identity.key)
    assert context.check_hostname
    locked = authority.issue("locked", (), password="open")
    client_context(SETTING, authority.file, locked.certificate, locked.key, "open")


def test_what_does_not_fit_is_named(authority: Authority, identity: Identity, tmp_path: Path) -> None:
    other, nowhere = authority.issue("other"), tmp_path / "nowhere.pem"
    locked = authority.issue("locked", (), password="open")
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    assert "does not belong to the certificate" in _refused(authority, replace(identity, key=other.key))
    assert "cannot be read with this password" in _refused(authority, locked)
    assert "cannot be read with this password" in _refused(authority, locked, "wrong")
    assert "KEY_FILE: " in _refused(authority, replace(identity, key=nowhere))
    assert "no certificate and key in PEM" in _refused(authority, replace(identity, certificate=text))
    with pytest.raises(ConfigurationError, match=r"CA_FILE: .* holds no certificate"):
        client_context(SETTING, text)
    with pytest.raises(ConfigurationError, match=r"CA_FILE: .* cannot be read"):
        client_context(SETTING, nowhere)


def test_a_certificate_is_read(identity: Identity) -> None:
    found = read_certificate(identity.certificate)
    assert found.names == ("us.example", "10.0.0.1")
    assert (found.subject, found.issuer) == ("CN=us", "CN=tests")
    assert found.begins < found.ends
