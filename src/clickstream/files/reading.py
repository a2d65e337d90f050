"""Reading: the clicks of a log of any shop, in memory.

DuckDB reads it (extra `history`). The layout of UCI 553 alone has a reader of its own, `sifting`: its rows
are right or wrong by those before them in the file (one day a session, each order once), and it needs no
extra.
"""

from __future__ import annotations

from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Union

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import UCI553, Shop
from clickstream.files.cleaning import CleanedFile
from clickstream.files.mapping import ColumnMapping, mapping_by_name, read_mapping, read_shop_mapping
from clickstream.files.shop_log import CleanedLog
from clickstream.files.sifting import SiftingProgress, sift_dataset, silent
from clickstream.files.source import PARQUET, ZSTD, FileSource
from clickstream.infra.extras import need_history
from clickstream.infra.objects import url_of

if TYPE_CHECKING:
    from clickstream.files.history import SelectMapping

ClickMapping = Union[ColumnMapping, "SelectMapping"]
"""A mapping onto the clicks of a shop, in TOML or in SQL."""


def read_any_mapping(path: Path | None, definition: ShopDefinition) -> ClickMapping | None:
    """The mapping in a file that ends with .sql or is TOML; without one columns are named as the fields, or,
    of uci553, the file is in its layout.

    Raises:
        MissingFileError, InputError: it is not there, or is none.
        ConfigurationError: it is in SQL, and the extra `history` is not installed.
    """
    if path is not None and path.suffix.lower() == ".sql":
        need_history("a mapping in SQL")
        from clickstream.files.history import read_select

        return read_select(path)
    if definition is UCI553.definition:
        return None if path is None else read_mapping(path)
    return mapping_by_name(definition) if path is None else read_shop_mapping(path, definition)


def read_clicks(
    source: FileSource,
    shop: Shop,
    mapping: ClickMapping | None = None,
    name: str | None = None,
    progress: SiftingProgress = silent,
) -> CleanedLog | CleanedFile:
    """The clicks of a file of a shop, and what became of its rows.

    Args:
        mapping: onto the clicks of `shop`.

    Raises:
        MissingFileError: the file is not there.
        InputError: it is no such file, or no row of it can be used.
        ConfigurationError: the extra `history` is not installed; the layout of UCI 553 needs none.
    """
    if mapping is None and shop is UCI553:
        return sift_dataset(source, name, progress)
    mapping = mapping or mapping_by_name(shop.definition)
    need_history(f"to read {name or (source.name if isinstance(source, Path) else 'a log')}")
    from clickstream.files.history.whole import read_whole

    return read_whole(source, shop, mapping, name, progress, is_of_any_size=is_of_duckdb(source))


def is_of_duckdb(source: FileSource) -> bool:
    """Whether it is read where it lies, of any size: Parquet, packed by zst, a folder, a pattern, of S3."""
    if not isinstance(source, Path):
        return False
    if url_of(source) or source.is_dir() or (has_magic(str(source)) and not source.exists()):
        return True
    try:
        with source.open("rb") as file:
            return file.read(4) in (PARQUET, ZSTD)
    except OSError:
        return False
