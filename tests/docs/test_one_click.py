"""The page that follows a click quotes lines that are in the files it names."""

from __future__ import annotations

import re

from blocks import ROOT

PAGE = (ROOT / "docs" / "one-click.md").read_text()
SOURCE = ROOT / "src" / "clickstream"


def test_each_line_is_in_a_file_that_its_paragraph_names() -> None:
    quoted = 0
    for words, block in re.findall(r"((?:(?!```).)*?)```text\n(.*?)```", PAGE, re.DOTALL):
        named = re.findall(r"`([a-z_/]+\.(?:py|lua))`", words.rpartition("\n\n**")[2] or words)
        texts = [(SOURCE / name).read_text() for name in named]
        assert texts, words
        for line in block.splitlines():
            assert any(line in text for text in texts), f"{line!r} is in none of {named}"
            quoted += 1
    assert quoted > 15
