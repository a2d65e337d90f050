"""Engine: a DuckDB that keeps within its memory, and opens no file but those that it was given."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clickstream.infra.errors import (
    ClickstreamError,
    ConfigurationError,
    StorageError,
    UsageError,
    in_words_of_system,
)
from clickstream.infra.extras import need_history

if TYPE_CHECKING:
    import duckdb

LEAST_MIB_OF_AN_ENGINE = 128
_MIB_OF_A_THREAD = 256
_LONGEST_SAID = 1_000
_SIGNS = re.compile(r"[*?\[]")
_NAMED_FILE = re.compile(r'file "([^"]+)"')
_INTERRUPTED = "Query interrupted"
_NO_ROOM_TO_SPILL = "max_temp_directory_size"


@contextmanager
def open_engine(
    work: Path,
    memory_mib: int,
    opened: Iterable[str | Path],
    said: Callable[[Exception, str], ClickstreamError],
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory. What does not fit there is spilled into `work`.

    It reads and writes below `work`, and reads the files `opened`; all else is out of its reach, whatever it
    is asked in SQL, and it cannot be told otherwise later.

    Args:
        memory_mib: of the whole process; the engine takes three fifths of it, and what Python and Arrow hold
            beside it has the rest.
        said: what is wrong where DuckDB does not take a statement, or what it reads: of its error, and of the
            first words of this.

    Raises:
        StorageError: the disk did not take what is written or spilled, or did not give what is read.
        ConfigurationError: the memory does not suffice, or the extra `history` is not installed.
        KeyboardInterrupt: Ctrl-C came amid a statement.
    """
    engine = _connected(work, memory_mib, opened)
    import duckdb

    try:
        yield engine
    except (duckdb.Error, OSError, RuntimeError) as error:
        if isinstance(error, duckdb.InterruptException) or _INTERRUPTED in str(error):
            raise KeyboardInterrupt from None
        # Of what is read from a stream the error has no type, but the same words.
        if not isinstance(error, duckdb.Error) and (type(error) is not OSError or error.errno is not None):
            raise
        raise _of_machine(str(error), work, memory_mib) or said(error, first_words(error)) from error
    finally:
        engine.close()


def _of_machine(text: str, work: Path, memory_mib: int) -> ClickstreamError | None:
    """What is no fault of the statement, nor of what is read."""
    if text.startswith("Out of Memory Error"):
        if _NO_ROOM_TO_SPILL in text:
            return StorageError(
                f"{work} has no room for what does not fit into memory",
                "The disk is full: free some space, or name a folder on another disk.",
            )
        return ConfigurationError(
            f"{memory_mib} MiB of memory do not suffice: {text.splitlines()[0]}",
            "Give more: a larger --memory, or --workers 1, which has all of it.",
        )
    if text.startswith("IO Error"):
        named = _NAMED_FILE.search(text)
        return in_words_of_system(text, named[1] if named else work)
    return None


def first_words(error: Exception) -> str:
    """What DuckDB says first, and of which file."""
    first, *rest = str(error).splitlines() or [""]
    file = next((line.strip() for line in rest if line.strip().startswith("file = ")), "")
    return f"{first[:_LONGEST_SAID]} {file}".strip()


def _connected(work: Path, memory_mib: int, opened: Iterable[str | Path]) -> duckdb.DuckDBPyConnection:
    need_history("to read logs of any size")
    import duckdb

    work = work.resolve()
    (work / "spilled").mkdir(parents=True, exist_ok=True)
    # Each engine its own: in one folder they would write over one another's files.
    spilled = tempfile.mkdtemp(dir=work / "spilled")
    threads = min(os.cpu_count() or 1, max(memory_mib // _MIB_OF_A_THREAD, 1))
    engine = duckdb.connect(
        config={
            "memory_limit": f"{max(memory_mib * 3 // 5, LEAST_MIB_OF_AN_ENGINE)}MiB",
            "temp_directory": spilled,
            "threads": threads,
            # Rows are sorted afterwards; to keep them in the order of the file takes memory.
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # A name in SQL must not be a variable of this program.
            "python_enable_replacements": False,
        }
    )
    engine.execute("SET enable_progress_bar = false")
    engine.execute("SET TimeZone = 'UTC'")
    # What is read is named by a pattern, and found under its own name.
    named_by = [text for path in opened for text in (str(Path(path).absolute()), pattern_of(path))]
    engine.execute("SET allowed_paths = $1", [named_by])
    engine.execute("SET allowed_directories = $1", [[f"{work}/", f"{pattern_of(work)}/"]])
    engine.execute("SET enable_external_access = false")
    engine.execute("SET lock_configuration = true")
    return engine


def pattern_of(path: str | Path) -> str:
    """The pattern that fits this file alone: DuckDB takes every path that it reads for one.

    Raises:
        UsageError: there is none.
    """
    absolute = str(Path(path).absolute())
    if "\\" in absolute and _SIGNS.search(absolute):
        raise UsageError(
            f"{path} has a backslash and one of *, ? and [ in it",
            "Rename it: DuckDB cannot be told to read it.",
        )
    return _SIGNS.sub(r"[\g<0>]", absolute)


def parquet(paths: Iterable[str | Path], *options: str) -> str:
    """Parquet files as a table of DuckDB: with their own columns, whatever their folders are called."""
    given = ", ".join((listed(map(pattern_of, paths)), "hive_partitioning = false", *options))
    return f"read_parquet({given})"


def quoted(text: str) -> str:
    """A text of SQL."""
    return "'" + text.replace("'", "''") + "'"


def named(name: str) -> str:
    """A name of SQL."""
    return '"' + name.replace('"', '""') + '"'


def listed(texts: Iterable[str]) -> str:
    """A list of texts of SQL."""
    return f"[{', '.join(map(quoted, texts))}]"
