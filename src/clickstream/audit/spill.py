"""What an audit must remember of the topics, spilled into a temporary SQLite database of its own.

SQLite keeps the database in its page cache (`CACHE_KB`) and spills the rest into a file that has no name and
is gone when it is closed. The names of windows begin with a time, and scores come about in the order of time,
so the pages in use at one time are few. Nothing is ever rolled back: no journal, no sync.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from clickstream.infra.errors import ClickstreamError

T = TypeVar("T", bound=tuple[Any, ...])

CACHE_KB = 32_768
"""Page cache in memory. Sorting takes as much again."""

_CHUNK = 1_000

# A published record waits until the log accounts for it; then only its name is kept, by which a copy
# is recognised.
_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE scores_waiting (
    opened_at INT, session TEXT, source INT, first INT, closing INT,
    facts BLOB, answers BLOB, bundle INT, lessons INT, error TEXT, place INT, "offset" INT,
    PRIMARY KEY (opened_at, session, source, first, closing)
) WITHOUT ROWID;
CREATE TABLE scores_known (
    opened_at INT, session TEXT, source INT, first INT, closing INT,
    PRIMARY KEY (opened_at, session, source, first, closing)
) WITHOUT ROWID;
CREATE TABLE partials (
    session TEXT, opened_at INT, source INT, first INT, closing INT,
    last_click_at INT, score_id TEXT, content BLOB, place INT, "offset" INT,
    covers INT, repeats INT, checked INT,
    PRIMARY KEY (session, opened_at, source, first, closing)
) WITHOUT ROWID;
CREATE TABLE letters_waiting (
    source INT, about INT, reason TEXT, content BLOB, place INT, "offset" INT,
    PRIMARY KEY (source, about)
) WITHOUT ROWID;
CREATE TABLE letters_known (source INT, about INT, PRIMARY KEY (source, about)) WITHOUT ROWID;
CREATE TABLE open_scores_waiting (
    source INT, about INT, session TEXT, opened_at INT,
    facts BLOB, answers BLOB, bundle INT, lessons INT, error TEXT, conditions TEXT, place INT, "offset" INT,
    PRIMARY KEY (source, about)
) WITHOUT ROWID;
CREATE TABLE open_scores_known (source INT, about INT, PRIMARY KEY (source, about)) WITHOUT ROWID;
CREATE TABLE homes (id INTEGER PRIMARY KEY, partition INT, opened_at INT, last_click_at INT);
CREATE TABLE wrong (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE lines (comparison TEXT, line BLOB);
CREATE TABLE sums (session TEXT, run TEXT, content BLOB, duplicates INT);
BEGIN;
"""

# The primary keys, which are the first columns of each table.
_SCORE = "opened_at, session, source, first, closing"
_PARTIAL = "session, opened_at, source, first, closing"
_ABOUT = "source, about"


class SpilledScore(NamedTuple):
    """A score as the audit keeps it: the name of its window, and what is compared.

    `facts` is a digest; `answers` are from `PublishedRecords.pack`, empty where none are to be compared;
    `bundle` is a position in `PublishedRecords.bundles`; `place` and `offset` are where the score lies.
    """

    opened_at: int
    session: str
    source: int
    first: int
    closing: int
    facts: bytes
    answers: bytes
    bundle: int
    lessons: int
    error: str | None
    place: int
    offset: int

    @property
    def score_id(self) -> str:
        """The name of its window."""
        return f"{self.session}/{self.opened_at}"


Addition = Literal["new", "copy", "twin"]
"""A `twin` has the score_id of another one, and is made from the clicks of another partition."""


class WindowPlace(NamedTuple):
    """The partition of a window, and the event times (ms) of its first and last click."""

    partition: int
    opened_at: int
    last_click_at: int


class PartialScore(NamedTuple):
    """A score that says of itself that clicks are missing. `covers`, `repeats`: windows that it touches and
    that have no score, or have one. `content` is the score, empty where it is known to be wrong."""

    session: str
    opened_at: int
    source: int
    first: int
    closing: int
    last_click_at: int
    score_id: str
    content: bytes
    place: int
    offset: int
    covers: bool = False
    repeats: bool = False


class SpilledLetter(NamedTuple):
    """A dead letter as the audit keeps it, about the record `about` of the clicks partition `source`."""

    source: int
    about: int
    reason: str
    content: bytes
    place: int
    offset: int


class SpilledOpenScore(NamedTuple):
    """An open score as the audit keeps it, of the click `about` of the clicks partition `source`.

    The other fields are as in SpilledScore; `names` are the conditions, with a blank between them.
    """

    source: int
    about: int
    session: str
    opened_at: int
    facts: bytes
    answers: bytes
    bundle: int
    lessons: int
    error: str | None
    names: str
    place: int
    offset: int

    @property
    def conditions(self) -> list[str]:
        """Names of the conditions that begin to hold with the click."""
        return self.names.split()


class SessionSum(NamedTuple):
    """A score of a session, as far as it is compared with another run."""

    session: str
    run: Literal["ours", "baseline"]
    content: bytes
    duplicates: int


class Spill:
    """The database, as a context manager: everything is deleted at its end.

    Attributes:
        waiting: scores that the log has not accounted for yet.

    Raises:
        ClickstreamError: at the end of the block, where the disk was full in it.
    """

    def __init__(self, cache_kb: int = CACHE_KB) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{cache_kb}")
        self._database.executescript(_TABLES)
        self._do = self._database.execute
        self.waiting = 0
        # Table -> rows, at the most.
        self._rows: Counter[str] = Counter()
        self.letters = KeptByRecord(self, "letters", SpilledLetter._make)
        self.open_scores = KeptByRecord(self, "open_scores", SpilledOpenScore._make)

    def __enter__(self) -> Spill:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._database.close()
        if isinstance(error, sqlite3.Error):
            raise ClickstreamError(
                f"the temporary database of the audit failed: {error}",
                "It takes about 240 bytes a session. Name a folder with more room in SQLITE_TMPDIR.",
            ) from error

    @property
    def size(self) -> int:
        """Bytes of the database, in the cache and on the disk."""
        (pages,) = self._do("PRAGMA page_count").fetchone()
        (page,) = self._do("PRAGMA page_size").fetchone()
        return int(pages * page)

    def _insert(self, table: str, row: Sequence[object], verb: str = "INSERT OR IGNORE") -> bool:
        """Add a row; False where it is there already."""
        added = self._do(f"{verb} INTO {table} VALUES ({_marks(len(row))})", row).rowcount
        self._rows[table] += added
        return added > 0

    def _in_order(self, table: str, key: str, where: str = "TRUE") -> Iterator[tuple[Any, ...]]:
        """The rows of a table by its key. Rows may be deleted while this runs."""
        size = key.count(",") + 1
        last: tuple[object, ...] = ()
        while rows := self._do(
            f"SELECT * FROM {table} WHERE {where}"
            + (f" AND ({key}) > ({_marks(size)})" if last else "")
            + f" ORDER BY {key} LIMIT {_CHUNK}",
            last,
        ).fetchall():
            yield from rows
            last = rows[-1][:size]

    # --- scores ---

    def add_score(self, found: SpilledScore) -> Addition:
        """Keep a score, unless one of the same window is or was kept; says which of these it was."""
        same_name = "opened_at = ? AND session = ?"
        known = self._do(
            f"SELECT source, first, closing FROM scores_known WHERE {same_name}", found[:2]
        ).fetchall()
        if found[2:5] in known:
            return "copy"
        waiting = self._do(
            f"SELECT 1 FROM scores_waiting WHERE {same_name} AND source != ?", found[:3]
        ).fetchone()
        if not self._insert("scores_waiting", found):
            return "copy"
        self.waiting += 1
        is_twin = waiting is not None or any(source != found.source for source, *_ in known)
        return "twin" if is_twin else "new"

    def take_score(self, session: str, opened_at: int, facts: bytes, closing: int) -> SpilledScore | None:
        """The waiting score of this name that fits best to these facts and this closing offset.

        It waits no longer. There is more than one only where a flush closed a window early and a copy of its
        first click came afterwards (T7), or where one is made up.
        """
        rows = self._do(
            "SELECT * FROM scores_waiting WHERE opened_at = ? AND session = ?", (opened_at, session)
        )
        best = min(
            map(SpilledScore._make, rows.fetchall()),
            key=lambda found: (found.facts != facts, found.closing != closing),
            default=None,
        )
        if best is not None:
            self.know_score(best)
        return best

    def know_score(self, found: SpilledScore) -> None:
        """Note that the log accounts for a score. A copy is recognised from then on."""
        self._do(f"DELETE FROM scores_waiting WHERE ({_SCORE}) = ({_marks(5)})", found[:5])
        self._insert("scores_known", found[:5])
        self.waiting -= 1

    def waiting_scores(self) -> Iterator[SpilledScore]:
        """Scores that the log has not accounted for, by the time of their first click."""
        return map(SpilledScore._make, self._in_order("scores_waiting", _SCORE))

    def has_closing_between(self, source: int, first: int, last: int) -> bool:
        """Whether a score of a partition closed after `first` and before `last`."""
        where = "source = ? AND closing > ? AND closing < ? LIMIT 1"
        return any(
            self._do(f"SELECT 1 FROM {table} WHERE {where}", (source, first, last)).fetchone()
            for table in ("scores_waiting", "scores_known")
        )

    def home(self, session: str, here: WindowPlace) -> WindowPlace | None:
        """Note a session's last window; return the one before it where that lies on another partition."""
        id = int.from_bytes(hashlib.blake2b(session.encode(), digest_size=8).digest(), signed=True)
        row = self._do(
            "SELECT partition, opened_at, last_click_at FROM homes WHERE id = ? AND partition != ?",
            (id, here.partition),
        ).fetchone()
        self._insert("homes", (id, *here), "INSERT OR REPLACE")
        return None if row is None else WindowPlace._make(row)

    # --- scores made from a part of their clicks ---

    def add_partial(self, partial: PartialScore) -> bool:
        """Keep a partial score; False where the same one is there already."""
        return self._insert("partials", (*partial, False))

    def touching(self, session: str, source: int, opened_at: int, last_click_at: int) -> list[PartialScore]:
        """Partial scores of a session whose clicks overlap a window; event times in ms."""
        if not self._rows["partials"]:
            return []
        rows = self._do(
            "SELECT * FROM partials WHERE session = ? AND source = ? AND NOT checked"
            " AND opened_at <= ? AND last_click_at >= ?",
            (session, source, last_click_at, opened_at),
        )
        return [PartialScore._make(row[:-1]) for row in rows.fetchall()]

    def mark_partial(self, partial: PartialScore, mark: Literal["covers", "repeats", "checked"]) -> None:
        """Note that a partial score touches a window without a score or with one, or that it is checked.

        A copy of one that is checked is recognised from then on.
        """
        self._do(f"UPDATE partials SET {mark} = 1 WHERE ({_PARTIAL}) = ({_marks(5)})", partial[:5])

    def waiting_partials(self) -> Iterator[PartialScore]:
        """Partial scores that are not checked yet."""
        rows = self._in_order("partials", _PARTIAL, "NOT checked") if self._rows["partials"] else ()
        return (PartialScore._make(row[:-1]) for row in rows)

    # --- names, digests, sums ---

    def is_first_wrong(self, id: bytes) -> bool:
        """Whether this digest of a score's name is noted as wrong for the first time."""
        return self._insert("wrong", (id,))

    def add_line(self, comparison: str, line: bytes) -> None:
        """Keep a line of a digest."""
        self._insert("lines", (comparison, line))

    def lines(self, comparison: str) -> Iterator[bytes]:
        """The lines of a digest, sorted."""
        rows = self._do("SELECT line FROM lines WHERE comparison = ? ORDER BY line", (comparison,))
        return (line for (line,) in rows)

    def add_sum(self, one: SessionSum) -> None:
        """Keep what is compared of a score."""
        self._insert("sums", one)

    def sums(self) -> Iterator[SessionSum]:
        """All sums, ordered by session."""
        return map(SessionSum._make, self._do("SELECT * FROM sums ORDER BY session"))

    def forget(self, most: int) -> int:
        """Forget the oldest tenth of each kind of name of which more than `most` are kept, and count them."""
        forgotten = 0
        for table, order in (
            ("scores_known", _SCORE),
            ("letters_known", "about"),
            ("open_scores_known", "about"),
        ):
            excess = self._rows[table] - most
            if excess > 0:
                gone = self._do(
                    f"DELETE FROM {table} WHERE ({order}) <="
                    f" (SELECT {order} FROM {table} ORDER BY {order} LIMIT 1 OFFSET ?)",
                    (excess + most // 10 - 1,),
                ).rowcount
                self._rows[table] -= gone
                forgotten += gone
        for table in ("homes", "wrong"):
            if self._rows[table] > most:
                self._do(f"DELETE FROM {table}")
                self._rows[table] = 0
        return forgotten


class KeptByRecord(Generic[T]):
    """Published records of which each is about one record of a clicks partition.

    A row begins with the partition `source` and the offset `about` of that record.
    """

    def __init__(self, spill: Spill, name: str, make: Callable[[Iterable[Any]], T]) -> None:
        self._spill = spill
        self._waiting, self._known = f"{name}_waiting", f"{name}_known"
        self._make = make

    def add(self, found: T) -> bool:
        """Keep a published record; False where one about the same record is or was there."""
        known = f"SELECT 1 FROM {self._known} WHERE source = ? AND about = ?"
        if self._spill._do(known, found[:2]).fetchone():
            return False
        return self._spill._insert(self._waiting, found)

    def next_about(self, source: int, offset: int) -> int | None:
        """The first record of a partition, from `offset` on, about which one waits."""
        first = f"SELECT min(about) FROM {self._waiting} WHERE source = ? AND about >= ?"
        (about,) = self._spill._do(first, (source, offset)).fetchone()
        return None if about is None else int(about)

    def take(self, source: int, about: int) -> T | None:
        """What was published about a record; it waits no longer."""
        if not self._spill._rows[self._waiting]:
            return None
        waiting = f"SELECT * FROM {self._waiting} WHERE source = ? AND about = ?"
        row = self._spill._do(waiting, (source, about)).fetchone()
        found = None if row is None else self._make(row)
        if found is not None:
            self.know(found)
        return found

    def know(self, found: T) -> None:
        """Note that the log accounts for it. A copy is recognised from then on."""
        self._spill._do(f"DELETE FROM {self._waiting} WHERE source = ? AND about = ?", found[:2])
        self._spill._insert(self._known, found[:2])

    def waiting(self) -> Iterator[T]:
        """Those that the log has not accounted for, by the record that they are about."""
        rows = self._spill._in_order(self._waiting, _ABOUT) if self._spill._rows[self._waiting] else ()
        return map(self._make, rows)


def _marks(count: int) -> str:
    return ", ".join("?" * count)
