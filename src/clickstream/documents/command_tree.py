"""The commands and their options, as the command line itself holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.text import Text
from typer.main import get_command

from clickstream.cli.main import command_line


class Option(NamedTuple):
    """An option or an argument: the setting of its name, all its spellings, and what --help says of it."""

    name: str
    spellings: tuple[str, ...]
    written: str
    help: str


class Command(NamedTuple):
    """A command that does something: `clickstream NAME`."""

    name: str
    text: str
    panel: str
    options: tuple[Option, ...]


def commands(hidden: bool = False) -> list[Command]:
    """All commands, those of a group behind each other; with those that --help does not show, if asked."""
    return list(_walk(get_command(command_line()), (), "", hidden))


def _walk(command: Any, words: tuple[str, ...], panel: str, hidden: bool) -> Iterator[Command]:
    # Typer brings its own classes of commands, which it does not export.
    inner = getattr(command, "commands", None)
    if inner is not None:
        for name, one in inner.items():
            if hidden or not one.hidden:
                yield from _walk(one, (*words, name), panel or one.rich_help_panel or "", hidden)
        return
    context = command.make_context(words[-1], [], resilient_parsing=True)
    options = []
    for one in command.params:
        written, words_of_help = one.get_help_record(context)
        options.append(Option(one.name, (*one.opts, *one.secondary_opts), written, words_of_help))
    yield Command(
        " ".join(words), Text.from_markup(command.help or "", emoji=False).plain, panel, tuple(options)
    )
