"""Whole: a log in memory, for what looks at all of its clicks at once: an upload, a file that is scored into
another, a replay.

Whatever DuckDB is not given by its path (an upload, a pipe, text that may be in any encoding) is put into a
private folder, in UTF-8, and is gone when it was read. What is bounded is bounded here: `MAX_BYTES` of a text
or an upload, unpacked, and `MAX_ROWS` rows.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from clickstream.features.shop import UCI553, Shop
from clickstream.files.cleaning import MAX_ROWS, CleanedFile, CleaningReport, RefusedRow, refuse_empty
from clickstream.files.history.buckets import ClickBuckets, RefusedRows
from clickstream.files.history.inputs import LogFile, find_files, other_files
from clickstream.files.history.opening import describe_all, open_described
from clickstream.files.history.partition import NoClicksError
from clickstream.files.history.select import SelectMapping
from clickstream.files.history.spoiled import mend
from clickstream.files.mapping.rows import dataset_of_rows, notes_of
from clickstream.files.mapping.spec import WHERE, ColumnMapping, UciMapping
from clickstream.files.mapping.table import ENDINGS_READ, GIVE, columns_of, sample_table
from clickstream.files.reading import ClickMapping
from clickstream.files.shop_log import CleanedLog, LoggedClick, shop_log
from clickstream.files.sifting import SiftingProgress
from clickstream.files.source import PARQUET, FileSource, read_source
from clickstream.files.text import advice, encoding_of, lines_of, rows_of
from clickstream.infra.errors import InputError, about
from clickstream.infra.words import counted
from clickstream.records.shop_click import parser_of

_MEMORY_MIB = 1_024
_CHUNK = 1 << 20
_LONGEST_TEXT = 1_000
_SAMPLED = 200


@dataclass(frozen=True)
class _Log:
    """A log that is read whole.

    Attributes:
        name: for messages.
        encoding: of its text, before it was put into UTF-8; "" of what is none.
        sha256: of its bytes.
        files: what DuckDB reads.
        mapping: as it holds for these.
        text: the one file of text, whose lines can be shown.
        notes: sentences about what was unusual and taken all the same.
    """

    name: str
    encoding: str
    sha256: str
    files: Sequence[LogFile]
    mapping: ClickMapping
    text: LogFile | None = None
    notes: Sequence[str] = ()


def read_whole(
    source: FileSource,
    shop: Shop,
    mapping: ClickMapping,
    name: str | None,
    progress: SiftingProgress,
    *,
    is_of_any_size: bool,
) -> CleanedLog | CleanedFile:
    """The clicks of a log, session by session.

    Args:
        is_of_any_size: DuckDB opens it where it lies: Parquet, zst, a folder, a pattern.

    Raises:
        MissingFileError: it is not there.
        InputError: it is no log, lacks a column that the mapping names, is larger than the bounds, or no row
            can be used.
        ConfigurationError: the extra `history` is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="clickstream-") as folder, about(folder):
        work = Path(folder)
        if isinstance(source, Path) and is_of_any_size:
            paths = find_files([source])
            files, notes = describe_all(paths, mapping, work, examples=MAX_ROWS)
            notes += other_files([source])
            log = _Log(source.name, "", _sha256(paths), files, mapping, notes=notes)
        else:
            log = _put_into(work, source, mapping, name)
        progress(0.2)
        try:
            found = open_described(log.files, shop.definition, log.mapping, work, _MEMORY_MIB, 1, MAX_ROWS)
        except NoClicksError as error:
            cleaning = _cleaning(log, error.rows, 0, error.left_out, error.refused, ())
            if cleaning.rows > cleaning.reasons.get("text", 0):
                _refuse_unseen(log)
            refuse_empty(cleaning)
            raise
        _check_rows(log.name, found.rows if log.text else found.kept)
        progress(0.8)
        cleaning = _cleaning(
            log, found.rows, found.kept, found.left_out, found.refused, (*log.notes, *found.notes)
        )
        clicks = _clicks(found, shop, mapping, cleaning, log.sha256)
    progress(1.0)
    return clicks


def _put_into(work: Path, source: FileSource, mapping: ClickMapping, name: str | None) -> _Log:
    """A file of bounded size as one that DuckDB reads."""
    name, content = read_source(source, name, ENDINGS_READ, GIVE)
    sha256 = hashlib.sha256(content).hexdigest()
    path = work / "log"
    if content.startswith(PARQUET):
        path.write_bytes(content)
        _check_rows(name, _rows_of_parquet(path, name))
        return _Log(name, "", sha256, describe_all([path], mapping, work, name)[0], mapping)
    layout = mapping.log if isinstance(mapping, SelectMapping) else mapping.file
    encoding = encoding_of(name, content, layout.encoding)
    content = _as_duckdb_reads(content, encoding)
    path.write_bytes(content)
    if layout.encoding is not None:
        key = "log" if isinstance(mapping, SelectMapping) else "file"
        mapping = mapping.model_copy(update={key: layout.model_copy(update={"encoding": "utf-8"})})
    (file,), _ = describe_all([path], mapping, work, name, MAX_ROWS)
    # As it was given: rows that are none are shown as well.
    text = replace(file, path=str(path), packed="none", left_out=())
    if content.count(b"\n") > MAX_ROWS:
        # Lines are no rows; rows are counted once there are so many lines.
        _check_rows(name, sum(1 for _ in zip(_texts(text), range(MAX_ROWS + 2), strict=False)) - 1)
    if _may_be_spoiled(content, file) and not file.is_mended:
        file = mend(file, work, MAX_ROWS)
    shown = "utf-8" if encoding == "utf-8-sig" else encoding
    return _Log(name, shown, sha256, [file], mapping, text)


def _as_duckdb_reads(content: bytes, encoding: str) -> bytes:
    """A text in UTF-8 whose lines all end the same way."""
    if encoding != "utf-8":
        content = content.decode(encoding).encode()
    returns, both = content.count(b"\r"), content.count(b"\r\n")
    if returns and not returns == both == content.count(b"\n"):
        content = re.sub(rb"\r\n?", b"\n", content)
    return content


def _may_be_spoiled(content: bytes, file: LogFile) -> bool:
    return b"\0" in content or (file.format == "csv" and file.delimiter != "\t" and b'"' in content)


def _rows_of_parquet(path: Path, name: str) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, ValueError) as error:
        raise InputError(f"{name} begins like a Parquet file and is none: {error}", WHERE) from error


def _check_rows(name: str, rows: int) -> None:
    if rows > MAX_ROWS:
        raise InputError(
            f"{name} has more than {counted(MAX_ROWS, 'row')}, as many as are held in memory at once",
            "Split it into several files, or let sessions go to a folder, which takes logs of any size:"
            " clickstream score FILE --out FOLDER.",
        )


def _clicks(
    found: ClickBuckets, shop: Shop, mapping: ClickMapping, cleaning: CleaningReport, sha256: str
) -> CleanedLog | CleanedFile:
    sha256 = hashlib.sha256(f"{sha256}{mapping.sha256}".encode()).hexdigest()
    rows = (row for batch in found.batches(0) for row in batch.to_pylist())
    if shop is UCI553:
        dataset = dataset_of_rows(cleaning.name, sha256, mapping.time_source, rows)
        notes = notes_of(mapping) if isinstance(mapping, UciMapping) else ()
        return CleanedFile(dataset, replace(cleaning, notes=(*cleaning.notes, *notes)))
    sessions = dict(_sessions(rows, shop, mapping.time_source))
    log = shop_log(shop.definition, cleaning.name, sha256, sessions, mapping.time_source)
    return CleanedLog(log, cleaning)


def _sessions(
    rows: Iterator[dict[str, Any]], shop: Shop, time_source: str
) -> Iterator[tuple[str, list[LoggedClick]]]:
    names = [one.name for one in shop.definition.fields]
    click_of = parser_of(shop.definition).model.model_construct
    known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for session_id, of_session in groupby(rows, key=lambda row: str(row["session_id"])):
        clicks = []
        for row in of_session:
            fields = tuple(row[name] for name in names)
            step = shop.step_of(click_of(**row, time_source=time_source))
            clicks.append(LoggedClick(step, known.setdefault(fields, fields)))
        yield session_id, clicks


def _cleaning(
    log: _Log, rows: int, kept: int, left_out: int, refused: RefusedRows, notes: tuple[str, ...]
) -> CleaningReport:
    files = {one.file for one in refused.examples}
    lines = {one.line for one in refused.examples if one.line is not None}
    texts: dict[int, str] = {}
    if log.text is not None and lines:
        texts = {line: text for line, text in _texts(log.text, max(lines)) if line in lines}
    shown = [
        RefusedRow(
            one.line or 0,
            one.reason,
            one.detail if len(files) < 2 else f"{one.file}: {one.detail}",
            texts.get(one.line or 0, ""),
        )
        for one in refused.examples
    ]
    return CleaningReport(
        log.name,
        log.encoding,
        "" if log.text is None else log.text.delimiter,
        rows,
        kept,
        left_out,
        tuple(shown),
        notes,
        None if len(refused.examples) == refused.count else refused.reasons,
    )


def _texts(file: LogFile, last: int | None = None) -> Iterator[tuple[int, str]]:
    """The line of each row of a text up to the line `last`, and the row, for people."""
    with Path(file.path).open("rb") as opened:
        lines = lines_of(opened, "utf-8")
        if file.format == "jsonl":
            rows = ((one.number, text) for one in lines if (text := one.text.strip()))
        else:
            rows = ((one.line, file.delimiter.join(one.fields)) for one in rows_of(lines, file.delimiter))
        for line, text in rows:
            yield line, text[:_LONGEST_TEXT]
            if last is not None and line >= last:
                return


def _refuse_unseen(log: _Log) -> None:
    """Refuse JSON lines whose objects have none of the columns by the names of the mapping."""
    if log.text is None or log.text.format != "jsonl" or not isinstance(log.mapping, ColumnMapping):
        return
    wanted = columns_of(log.mapping)
    sample = sample_table(log.name, Path(log.text.path).read_bytes()[:_CHUNK], wanted, _SAMPLED)
    unseen = [column for column in wanted if all(row(column) is None for row in sample.rows)]
    if unseen:
        raise InputError(
            f"{log.name}: no row has {', '.join(map(repr, unseen))}, which the mapping names; rows have"
            f" {', '.join(map(repr, sample.columns))[:300]}",
            advice(unseen, sample.columns) + "Correct the names in the mapping file. " + WHERE,
        )


def _sha256(paths: Collection[Path]) -> str:
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
    return found.hexdigest()
