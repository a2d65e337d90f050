"""The manifest of a bundle: what it holds, where it came from, and whether this program may open it.

Two hashes stand in it. `id` names the bundle: it is made of what training states, of the models and of the
evaluation. The reports show the id, so they are written after it; `seal`, over all else in the manifest,
covers their entries too. So a change of any byte of any file is noticed, by damage or by mistake.

Neither is a signature: whoever can write the folder can hash anew. A bundle is to be trusted as far as its
folder is, or as far as its signature, see signature.py.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clickstream.features.vector import PREFIX, REFERENCE
from clickstream.infra.errors import BundleError

FORMAT: Literal[3] = 3
MANIFEST = "manifest.json"

REPORTS = ("model_card.md", "report.html")
"""For people to read: made from the manifest and the evaluation, so no part of the id."""

MOST_BYTES = 4_000_000

BUNDLE_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
"""UTC time of training, so that names sort by age, and a hash of the manifest."""

_ID_DIGITS = 8

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Part):
    """Size in bytes and SHA-256 of a file."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ShopEntry(_Part):
    """The shop whose clicks and goal the models know, and the hash of its definition."""

    name: str
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class DataSource(_Part):
    """The dataset that the models were fitted on."""

    name: str
    sha256: str
    sessions: int


class SplitEntry(_Part):
    """How the sessions were divided; `held_out_from` is the first day held out in a split by time."""

    kind: Literal["time", "random"]
    held_out_from: datetime.date | None
    train_sessions: int
    held_out_sessions: int


class BaseRatesEntry(_Part):
    """Share of converted training sessions, and their mean revenue: the answer without evidence."""

    conversion: float
    revenue: float | None


class ClusterEntry(_Part):
    """One cluster: its number, its name, and the sessions of the whole dataset that fall into it."""

    number: int
    name: str
    sessions: int
    share: float


class Contents(_Part):
    """Everything that training states about a bundle. Without a `shop` it is one of uci553."""

    shop: Annotated[ShopEntry | None, Field(exclude_if=lambda shop: shop is None)] = None
    data: DataSource
    split: SplitEntry
    seed: int
    label_source: Literal["proxy", "goal"] = "proxy"
    base_rates: BaseRatesEntry
    clusters: list[ClusterEntry]
    figures: dict[str, dict[str, int | float]]
    """Scorer, or `clusters` -> figure -> value, on sessions that the models have not seen."""
    online_classes: list[tuple[str, str]]
    """(module, name) of every class in the online models: no other is resolved when a state is read back."""


class Manifest(Contents):
    """The file `manifest.json`."""

    format: Literal[3] = FORMAT
    id: Annotated[str, Field(pattern=f"^{BUNDLE_ID.pattern}$")]
    created_at: datetime.datetime
    versions: dict[str, str]
    feature_sets: dict[str, str]
    files: dict[str, FileEntry]
    seal: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 over the rest of the manifest."""

    def to_json(self) -> bytes:
        """As written to disk."""
        return self.model_dump_json(indent=2).encode() + b"\n"


def running_versions() -> dict[str, str]:
    """What a pickle depends on: exact, but Python and numpy to the minor version."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "scikit-learn": version("scikit-learn"),
        "river": version("river"),
        "numpy": ".".join(version("numpy").split(".")[:2]),
    }


def feature_hashes() -> dict[str, str]:
    """Feature set -> hash of its definition."""
    return {feature_set.name: feature_set.hash for feature_set in (PREFIX, REFERENCE)}


def seal(contents: Contents, files: dict[str, FileEntry], created_at: datetime.datetime) -> Manifest:
    """The manifest of a bundle that is about to be written; `files` are all but the reports."""
    return hashed(
        Manifest(
            **dict(contents),
            id=_identity(created_at, "0" * _ID_DIGITS),
            created_at=created_at,
            versions=running_versions(),
            feature_sets=feature_hashes() if contents.shop is None else {},
            files=files,
            seal="0" * 64,
        )
    )


def with_reports(manifest: Manifest, reports: dict[str, FileEntry]) -> Manifest:
    """The manifest with the entries of the reports, under the same id."""
    return hashed(manifest.model_copy(update={"files": manifest.files | reports}))


def hashed(manifest: Manifest) -> Manifest:
    """The manifest with the id and the seal that its content gives."""
    content = manifest.model_dump(mode="json", exclude={"id", "seal"})
    lasting = {name: entry for name, entry in content["files"].items() if name not in REPORTS}
    bundle_id = _identity(manifest.created_at, _digest(content | {"files": lasting})[:_ID_DIGITS])
    return manifest.model_copy(update={"id": bundle_id, "seal": _digest(content | {"id": bundle_id})})


def parse_manifest(text: bytes, where: str) -> Manifest:
    """The manifest in `text`.

    Raises:
        BundleError: it is of another format, is no manifest, or names a path outside its folder.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"it is not JSON that can be read ({error})") from error
    if not isinstance(raw, dict):
        raise _damaged(where, "it is not a JSON object")
    if raw.get("format") != FORMAT:
        raise BundleError(
            f"{where} is of format {raw.get('format')!r}; this version reads format {FORMAT}",
            "Run `clickstream train` with this version, or use the version that wrote the bundle.",
        )
    _refuse_paths(raw, where)
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise _damaged(where, f"{field}: {first['msg']}") from error


def check_made_for_us(manifest: Manifest, where: str) -> None:
    """Whether these versions and these features may use the bundle.

    Raises:
        BundleError: names each version or feature set that differs, with both values.
    """
    if differences := _differences(manifest.versions, running_versions()):
        raise BundleError(
            f"{where} was made with {differences}",
            "Run `clickstream train` here, or install the versions that the bundle was made with:"
            " models are not read across versions.",
        )
    # The features of any other shop are those of the definition that its bundle carries.
    sets = {} if manifest.shop is not None else feature_hashes()
    if differences := _differences(manifest.feature_sets, sets, "feature set "):
        raise BundleError(
            f"{where} was trained on other definitions: {differences}",
            "Run `clickstream train` with this version: a model is used with its own features only.",
        )


def _differences(given: Mapping[str, str], here: Mapping[str, str], what: str = "") -> str:
    """What is not as it is here, with both values; empty where nothing differs."""
    return ", ".join(
        f"{what}{name} {given.get(name, 'not given')} (here {value})"
        for name, value in here.items()
        if given.get(name) != value
    )


def check_unchanged(manifest: Manifest, where: str) -> None:
    """Whether the manifest is the one that was written.

    Raises:
        BundleError: its content does not hash to its id, or to its seal.
    """
    expected = hashed(manifest)
    for name, found, right in (("id", manifest.id, expected.id), ("seal", manifest.seal, expected.seal)):
        if found != right:
            raise _damaged(where, f"its content does not belong to its {name} {found}")


def _refuse_paths(raw: dict[str, Any], where: str) -> None:
    files = raw.get("files")
    for name in files if isinstance(files, dict) else ():
        if not _PLAIN_NAME.fullmatch(name):
            raise BundleError(
                f"{where} names the file {name!r}, which is not a plain name inside its folder",
                "Do not use this bundle: no version of clickstream writes such a name.",
            )


def _identity(created_at: datetime.datetime, digits: str) -> str:
    return f"{created_at.astimezone(datetime.UTC):%Y%m%dT%H%M%SZ}-{digits}"


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _damaged(where: str, why: str) -> BundleError:
    return BundleError(
        f"{where} is damaged: {why}",
        "Restore the bundle from a copy, use another one, or run `clickstream train`.",
    )
