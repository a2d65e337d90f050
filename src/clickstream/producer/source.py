"""The CSV bytes of a file, or of a zip that holds one. Never unpacks more than a bound."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from clickstream.infra.errors import InputError, MissingFileError

WHERE = (
    "Get it from the UCI Machine Learning Repository: dataset 553, Clickstream data for online shopping"
    " (https://archive.ics.uci.edu/dataset/553)."
    " The zip is read as it is. Without it, synthetic clicks drawn to its statistics serve (--synthetic N)."
)
MAX_BYTES = 256 * 1024 * 1024


def read_source(path: Path) -> tuple[str, bytes]:
    """Name and content of the CSV.

    Raises:
        MissingFileError: there is no such file, or it may not be read; says where to get it.
        InputError: it is empty, too large, or no zip with one CSV.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
            file.seek(0)
            content = b"" if zipped else file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise MissingFileError(f"{path} is not there", WHERE) from None
    except OSError as error:
        raise MissingFileError(f"{path} cannot be read: {error.strerror}", WHERE) from error
    name, content = _unzipped(path) if zipped else (path.name, content)
    if len(content) > MAX_BYTES:
        raise InputError(f"{name} is larger than {MAX_BYTES // 2**20} MiB", "Split it into several files.")
    if not content.strip():
        raise InputError(f"{name} is empty", WHERE)
    return name, content


def _unzipped(path: Path) -> tuple[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            if len(names) != 1:
                held = ", ".join(archive.namelist()[:5]) or "nothing"
                raise InputError(f"{path.name} must hold one CSV file; it holds {held}", WHERE)
            with archive.open(names[0]) as file:
                # One byte more than allowed is enough to know; a zip bomb is never unpacked further.
                return names[0], file.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise InputError(f"{path.name} is a damaged, truncated or locked zip: {error}", WHERE) from error
