"""Which bundle is in use: the file `champion` in the folder of bundles holds its id."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from clickstream.infra.errors import BundleError
from clickstream.models.manifest import BUNDLE_ID, MANIFEST

CHAMPION = "champion"


def bundle_ids(folder: Path) -> list[str]:
    """The bundles in `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(
        path.name
        for path in folder.iterdir()
        if BUNDLE_ID.fullmatch(path.name) and (path / MANIFEST).is_file()
    )


def champion(folder: Path) -> str:
    """Id of the bundle in use.

    Raises:
        BundleError: none was promoted, or the file holds something else.
    """
    try:
        content = (folder / CHAMPION).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise BundleError(
            f"no bundle is in use in {folder}", "Run `clickstream train`, or name a bundle with --bundle."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{folder / CHAMPION} cannot be read: {error}", _choices(folder)) from error
    if not BUNDLE_ID.fullmatch(content):
        raise BundleError(
            f"{folder / CHAMPION} holds {content[:80]!r}, which is no bundle id", _choices(folder)
        )
    return content


def promote(folder: Path, bundle_id: str) -> None:
    """Make a bundle the one in use, in one atomic step.

    Raises:
        BundleError: there is no such bundle in `folder`.
    """
    if bundle_id not in bundle_ids(folder):
        raise BundleError(f"there is no bundle {bundle_id!r} in {folder}", _choices(folder))
    handle, draft = tempfile.mkstemp(prefix=f".{CHAMPION}-", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(bundle_id + "\n")
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes a file for the owner alone; a consumer may run as somebody else.
        os.chmod(draft, 0o644)
        os.replace(draft, folder / CHAMPION)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise


def locate(folder: Path, name: str | Path) -> Path:
    """The folder of the bundle called `name`: `champion`, an id, or a path.

    Raises:
        BundleError: there is no such bundle.
    """
    if name == CHAMPION:
        path = folder / champion(folder)
    elif isinstance(name, str) and BUNDLE_ID.fullmatch(name):
        path = folder / name
    else:
        path = Path(name).expanduser()
    if not path.is_dir():
        raise BundleError(f"there is no bundle {str(name)!r}: {path} is not a folder", _choices(folder))
    return path


def _choices(folder: Path) -> str:
    found = bundle_ids(folder)
    if not found:
        return "Run `clickstream train`."
    return f"Name one of {', '.join(found[-5:])}, or run `clickstream train`."
