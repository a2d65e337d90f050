"""Sample: the columns of a Parquet file and its first rows, for a person who says which column is which."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clickstream.files.history.engine import named, open_engine, parquet
from clickstream.files.history.tables import text_of
from clickstream.files.mapping.table import GIVE, MOST_COLUMNS, FileSample
from clickstream.infra.errors import InputError, about
from clickstream.infra.extras import need_history

_MEMORY_MIB = 512
_LONGEST_TEXT = 1_000


def sample_parquet(name: str, content: bytes, at_most: int) -> FileSample:
    """The first rows of a Parquet file as texts; "a.b" is b of the object a.

    Raises:
        InputError: it is no such file, or none of its columns can be a field of a click.
        ConfigurationError: the extra `history` is not installed.
    """
    need_history(f"to read {name}")

    def unreadable(_: Exception, said: str) -> InputError:
        said = said.replace(str(path), name)
        return InputError(f"{name} is a Parquet file that cannot be read: {said}", GIVE)

    with tempfile.TemporaryDirectory(prefix="clickstream-") as folder, about(folder):
        path = Path(folder) / "log"
        path.write_bytes(content)
        try:
            with open_engine(Path(folder), _MEMORY_MIB, [path], unreadable) as engine:
                source = parquet([path], "binary_as_string = true")
                found = engine.execute(f"SELECT * FROM {source} LIMIT 0").description or []
                columns = dict(pair for column, kind, *_ in found for pair in _leaves([column], kind))
                columns = dict(list(columns.items())[:MOST_COLUMNS])
                if not columns:
                    raise InputError(f"{name} has no column that could be a field of a click", GIVE)
                texts = ", ".join(f"left({text}, {_LONGEST_TEXT})" for text in columns.values())
                rows = engine.execute(f"SELECT {texts} FROM {source} LIMIT {at_most}").fetchall()
        except UnicodeDecodeError as error:
            raise InputError(f"{name} is damaged: the name of a column is no text in UTF-8", GIVE) from error
    return FileSample(list(columns), [dict(zip(columns, row, strict=True)).get for row in rows])


def _leaves(path: list[str], kind: Any) -> Iterator[tuple[str, str]]:
    """The name of each column that is no list and no object, and SQL of its text."""
    if kind.id == "struct":
        for child, of_child in kind.children:
            yield from _leaves([*path, child], of_child)
    elif kind.id not in ("list", "map", "array", "union"):
        yield ".".join(path), text_of(".".join(map(named, path)), str(kind))
