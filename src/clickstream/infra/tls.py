"""Certificates and keys as a client loads them, and what is wrong where a server's is not taken."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

from clickstream.infra.errors import ConfigurationError


def client_context(
    setting: str,
    ca_file: Path | None,
    certificate_file: Path | None = None,
    key_file: Path | None = None,
    key_password: str | None = None,
) -> ssl.SSLContext:
    """A context that verifies servers and their names, and shows them the certificate, where there is one.

    Args:
        setting: what begins the environment variables of these files, as `CLICKSTREAM_KAFKA`.
        ca_file: without it, the authorities that OpenSSL finds on this machine.

    Raises:
        ConfigurationError: a file is missing or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(ca_file.expanduser())
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"{setting}_CA_FILE: {ca_file} holds no certificate in PEM ({_said(error)})",
                "Name the file of the authority that signed the servers' certificates.",
            ) from error
        except OSError as error:
            raise _unreadable(f"{setting}_CA_FILE", ca_file, error) from error
    if certificate_file is not None and key_file is not None:
        _load_identity(context, setting, certificate_file, key_file, key_password)
    return context


def server_context(setting: str, certificate_file: Path, key_file: Path) -> ssl.SSLContext:
    """A context of a server that shows this certificate. Args and errors as of `client_context`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_identity(context, setting, certificate_file, key_file, None)
    return context


def _load_identity(
    context: ssl.SSLContext, setting: str, certificate_file: Path, key_file: Path, password: str | None
) -> None:
    armored = True
    for name, file in (("CERTIFICATE", certificate_file), ("KEY", key_file)):
        try:
            armored &= b"-----BEGIN " in file.expanduser().read_bytes()
        except OSError as error:
            raise _unreadable(f"{setting}_{name}_FILE", file, error) from error
    try:
        # Without the function OpenSSL would ask on the terminal.
        context.load_cert_chain(certificate_file.expanduser(), key_file.expanduser(), lambda: password or "")
    except ssl.SSLError as error:
        reason = error.reason or ""
        if "MISMATCH" in reason:
            what = f"the key in {key_file} does not belong to the certificate in {certificate_file}"
            remedy = f"Name two files that were made together in {setting}_CERTIFICATE_FILE and _KEY_FILE."
        elif armored and ("DECRYPT" in reason or "BAD_PASSWORD" in reason or not reason):
            what = f"the key in {key_file} cannot be read with this password"
            remedy = f"Set {setting}_KEY_PASSWORD, or {setting}_KEY_PASSWORD_FILE, to the one it has."
        else:
            what = f"{certificate_file} and {key_file} are no certificate and key in PEM ({_said(error)})"
            remedy = f"Correct {setting}_CERTIFICATE_FILE and {setting}_KEY_FILE."
        raise ConfigurationError(what, remedy) from error


def _unreadable(variable: str, file: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{variable}: {file} cannot be read: {error.strerror}", "Check the path, and that this user may."
    )


def error_of_tls(error: BaseException) -> ssl.SSLError | None:
    """The one that `error` came from, or that it carries; None where there is none."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        nested = next((one for one in found.args if isinstance(one, BaseException)), None)
        found = nested or found.__cause__ or found.__context__
    return found


def fault(error: BaseException, setting: str) -> tuple[str, str] | None:
    """What TLS itself refused, and what to do; None where `error` and its causes are of another kind.

    A connection that breaks in the middle of a handshake is none: a server that restarts does that.
    """
    found = error_of_tls(error)
    if found is None or isinstance(found, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)):
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return _unverified(found, setting)
    reason = found.reason or str(found)
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "it does not speak TLS there", f"Correct the port, or {setting}_SECURITY_PROTOCOL."
    if "ALERT" in reason or "CERTIFICATE" in reason:
        return (
            f"it refuses our certificate, or that there is none ({_said(found)})",
            f"Check {setting}_CERTIFICATE_FILE and {setting}_KEY_FILE: signed by an authority that the server"
            " knows, and not ended. `clickstream doctor` looks at them.",
        )
    return f"TLS failed ({_said(found)})", "Compare versions and ciphers of TLS with the server's."


def _unverified(error: ssl.SSLCertVerificationError, setting: str) -> tuple[str, str]:
    said = error.verify_message
    if "mismatch" in said:
        return (
            f"its certificate is of another host ({said})",
            "Connect by a name that the certificate has, or have it made for this one; `clickstream doctor`"
            " lists its names.",
        )
    if "expired" in said or "not yet valid" in said:
        return f"its certificate is not valid now ({said})", "Have it renewed; check the clock of both."
    return (
        f"nobody that we trust signed its certificate ({said})",
        f"Set {setting}_CA_FILE to the authority that signed it.",
    )


def _said(error: ssl.SSLError) -> str:
    with suppress(AttributeError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return str(error)
