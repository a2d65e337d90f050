"""What the documents show: their fenced blocks, the commands in them, and the commands named in a line."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

# Of a transcript.
_PROMPT = "$ "


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its first line in the page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """page:line"""
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The shell commands in it: all of `sh`, those behind a prompt where it has no language."""
        if self.language == "sh":
            lines = self.text.splitlines()
        elif self.language == "":
            prompted = (line for line in self.text.splitlines() if line.startswith(_PROMPT))
            lines = [line.removeprefix(_PROMPT) for line in prompted]
        else:
            return []
        found: list[str] = []
        begun = ""
        for line in lines:
            begun = f"{begun}\n{line}" if begun else line.strip()
            if begun.startswith("#"):
                begun = ""
            elif begun and _is_whole(begun):
                found.append(begun)
                begun = ""
        return [*found, begun] if begun else found


def _is_whole(command: str) -> bool:
    """Whether a shell would wait for no further line."""
    if command.endswith("\\"):
        return False
    asked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, check=False)
    # A document that has no end yet is a warning only.
    return asked.returncode == 0 and not asked.stderr


def blocks() -> list[Block]:
    """Of all pages, in order."""
    found = []
    for page in PAGES:
        for token in MarkdownIt().parse(page.read_text()):
            if token.type == "fence" and token.map is not None:
                name = page.relative_to(ROOT).as_posix()
                found.append(Block(name, token.map[0] + 2, token.info.strip(), token.content))
    return found


def named_in_lines() -> Iterator[tuple[str, str]]:
    """(page, code) of each piece of code within a line that begins with `clickstream `."""
    for page in PAGES:
        for token in MarkdownIt().enable("table").parse(page.read_text()):
            for inner in token.children or ():
                if inner.type == "code_inline" and inner.content.startswith("clickstream "):
                    yield page.relative_to(ROOT).as_posix(), inner.content


def words(command: str) -> list[str]:
    """The words of `clickstream …`, up to what the shell takes: a pipe, a comment."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[str] = []
    for word in lexer:
        if set(word) <= set("();<>|&"):
            break
        found.append(word)
    return found
