"""The signature of a bundle: an HMAC-SHA256 (RFC 2104) over the bytes of its manifest, which holds the hash
of every other file.

Hashes find damage; only a key finds an attacker who can write the folder and hashes anew. With a key set,
what is not signed with it is refused before anything of it is parsed. Without one, a signature is not looked
at. The same text as `openssl dgst -sha256 -hmac "$KEY" -r manifest.json` prints, up to the first blank.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Literal

from clickstream.infra.errors import BundleError
from clickstream.infra.files import replace_file
from clickstream.infra.secrets import secret_bytes
from clickstream.infra.settings import Settings

SIGNATURE = "manifest.sig"

SignatureState = Literal["no", "not checked", "valid"]
"""`not checked`: there is a signature, and no key is set."""


def signing_key(settings: Settings) -> bytes | None:
    """The key of `bundle_key` or `bundle_key_file`; None where neither is set.

    Raises:
        ConfigurationError: the file cannot be read, or holds too short or too long a key.
    """
    return secret_bytes(settings, "bundle_key")


def signature(manifest: bytes, key: bytes) -> bytes:
    """The content of the file SIGNATURE."""
    return hmac.new(key, manifest, hashlib.sha256).hexdigest().encode() + b"\n"


def check_signature(manifest: bytes, found: bytes | None, key: bytes | None, where: str) -> SignatureState:
    """What the signature `found` says of `manifest`.

    Raises:
        BundleError: there is a key, and the signature is missing or was made of another manifest or key.
    """
    if key is None:
        return "no" if found is None else "not checked"
    if found is None:
        raise BundleError(
            f"{where} is not signed, and a key for bundles is set",
            "If you trust it, `clickstream models sign ID`; else use another bundle.",
        )
    if not hmac.compare_digest(found.strip(), signature(manifest, key).strip()):
        raise BundleError(
            f"{where} is signed with another key, or was changed after it was signed",
            "Set the key that it was signed with, or use another bundle. Sign it anew only if you know what"
            " changed.",
        )
    return "valid"


def write_signature(path: Path, manifest: bytes, key: bytes) -> None:
    """Sign the bundle in `path`, whose manifest was verified to be `manifest`, in one atomic step.

    Raises:
        OSError: the folder cannot be written.
    """
    replace_file(path / SIGNATURE, signature(manifest, key))
