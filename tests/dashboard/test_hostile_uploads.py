"""What a person may upload by mistake or on purpose: each gets a message, and nothing of it is parsed as HTML
or Markdown, or left on disk; what needs no mapping is not written there at all.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard_pages import Upload, clicks, parsed, sessions, words

HEADER = (
    b"year;month;day;order;country;session ID;page 1 (main category);page 2 (clothing model);colour;location;"
    b"model photography;price;price 2;page\n"
)
HTML = "<img src=x onerror=alert(1)>**bold**[link](https://example.org) :red[x]"

_opened: list[str] | None = None


def _note_writing(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is None or event != "open":
        return
    path, mode, flags = arguments
    writes = (
        any(letter in mode for letter in "wax+")
        if isinstance(mode, str)
        else flags & (os.O_WRONLY | os.O_RDWR)
    )
    if writes and str(path) != os.devnull:
        _opened.append(str(path))


@pytest.fixture(scope="module", autouse=True)
def _listening() -> None:
    # There is no taking it off again: it does nothing while `_opened` is None.
    sys.addaudithook(_note_writing)


@pytest.fixture
def written_files() -> Iterator[list[str]]:
    """Paths that this process opens for writing meanwhile."""
    global _opened
    _opened = []
    yield _opened
    _opened = None


def row(session: str = "1", product: str = "A1", order: int = 1, price: str = "28") -> bytes:
    return f"2008;4;1;{order};29;{session};1;{product};1;5;1;{price};2;1\n".encode()


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def outside() -> bytes:
    return zipped(**{"../../evil.csv": HEADER + row()})


def bomb() -> bytes:
    return zipped(**{"big.csv": HEADER + b"\0" * (129 * 2**20)})


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty"),
    "blank": (lambda: b" \n\n", "is empty"),
    "binary": (lambda: bytes(range(256)) * 4_000, "binary"),
    "a header alone": (lambda: HEADER, "a header but no clicks"),
    "wrong delimiter": (lambda: (HEADER + row()).replace(b";", b"#"), "column"),
    "a million columns": (lambda: b";".join([b"x"] * 1_000_000) + b"\n", "65,536 characters"),
    "two encodings": (lambda: b"\xef\xbb\xbf" + HEADER + b"\xff\xfe\xff\n", "UTF-8"),
    "zip bomb": (bomb, "larger than 128 MiB"),
    "zip with a path outside": (outside, "path outside"),
    "zip in a zip": (lambda: zipped(**{"in.zip": zipped(**{"a.csv": HEADER})}), "holds in.zip"),
    "zip cut off": (lambda: zipped(**{"a.csv": HEADER + row() * 50})[:-30], "zip"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_cannot_be_used_is_told_in_words(
    upload: Upload, kind: str, written_files: list[str]
) -> None:
    make, told = HOSTILE[kind]
    page = upload(make(), "given.zip" if "zip" in kind else "given.csv")
    assert page.error[0].value == "**This did not work**"
    assert told in words(page)
    assert "<img" not in parsed(page)
    assert written_files == []
    assert not page.metric


@pytest.mark.parametrize("header", [b"a;b", HTML.encode() + b";b"], ids=["other columns", "HTML"])
def test_columns_that_are_others_are_asked_for_and_shown_letter_by_letter(
    upload: Upload, header: bytes, written_files: list[str]
) -> None:
    page = upload(header + b"\n1;2\n", "given.csv")
    assert any("Choose a column for" in info.value for info in page.info)
    assert header.split(b";")[0].decode() in page.selectbox[0].options
    assert "<img" not in parsed(page)
    assert written_files == []
    assert not page.metric


@pytest.fixture(scope="module")
def hostile_fields() -> bytes:
    """Rows that are used, and one that is refused, with HTML, Markdown and formulas in them."""
    formula = '=HYPERLINK("https://example.org")'
    return HEADER + b"".join(
        [
            row(HTML, "<script>alert(2)</script>", 1),
            row(HTML, "**P**", 2),
            row("'=1+1", "+cmd|calc", 1),
            row("=1+1", "A1", 1),
            row("2", "A1", 1, price=f"<b>{formula}"),
        ]
    )


def test_html_and_markdown_in_fields_are_shown_letter_by_letter(
    upload: Upload, hostile_fields: bytes, written_files: list[str]
) -> None:
    page = upload(hostile_fields, "<b>name</b>**.csv")
    assert HTML in sessions(page)["session_id"].tolist()
    page.text_input(key="contains").set_value("<img").run()
    assert HTML in words(page)
    assert "<b>name</b>**.csv" in words(page)
    shown_parsed = parsed(page)
    for part in ("<img", "<script", "<b>", "**bold**", "=HYPERLINK"):
        assert part not in shown_parsed
    assert not any(element.proto.allow_html for element in page.markdown)
    assert written_files == []


MAPPING = b"""
[clicks]
session_id = "visit"
event_time = "at"
product = "item"
category = "kind"
price = "price"
"""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PAR1" + bytes(40), "Parquet"),
        (b"visit,at,item,kind,price\n" + b"x" * 70_000, "longer than 65,536 characters"),
        (b"visit,at,item,kind,price\n" + HTML.encode() + b",x,x,x,x\n", "not a time of format iso"),
        (b'{"visit": ' * 3_000, "not JSON"),
    ],
    ids=["Parquet that is none", "a long line", "HTML", "deep JSON"],
)
def test_a_hostile_file_with_a_mapping_leaves_nothing_behind(
    upload: Upload, content: bytes, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    page = upload(content, "<b>given</b>.csv", MAPPING)
    assert page.error[0].value == "**This did not work**"
    assert told in words(page)
    assert "<img" not in parsed(page)
    assert "<b>" not in parsed(page)
    assert str(tmp_path) not in words(page)
    assert list(tmp_path.iterdir()) == []


def test_windows_encoding_and_another_delimiter_are_taken_and_told(upload: Upload) -> None:
    page = upload((HEADER + row(product="caf\u00e9")).decode().replace(";", ",").encode("windows-1252"))
    assert "separated by ','" in words(page)
    assert "WINDOWS-1252" in words(page)
    assert clicks(page)["product"].tolist() == ["caf\u00e9"]


def test_the_page_writes_nothing_where_it_works(
    upload: Upload, few_sessions: bytes, written_files: list[str]
) -> None:
    page = upload(few_sessions)
    assert page.metric
    assert written_files == []


def test_the_audit_hook_sees_files_and_unnamed_ones(written_files: list[str], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with tempfile.TemporaryFile():
        pass
    assert set(written_files) == {str(tmp_path / "a"), tempfile.gettempdir()}
