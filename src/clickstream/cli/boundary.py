"""Where errors become words and exit codes, and where what the environment hands us is made fit to use.

Errors of ours, and what the system refuses, are reported in words. Anything else is a bug: its traceback is
shown, with exit code 70, so that nobody takes it for what an audit found (1).
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.console import Console

from clickstream.infra.errors import ClickstreamError, StorageError, of_system
from clickstream.terminal.printable import plain

BUG = 70


def exit_code_of(command: Callable[[], Any]) -> int:
    """Run a command to its end. What went wrong is on standard error, whatever it was.

    Returns:
        130 for Ctrl-C; 0 where the reader of standard output has enough, as `head` does; 74 where standard
        output did not take all; 70 for a bug; else what the command or its error says.
    """
    _open_standard_streams()
    code = _run(command)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except OSError as error:
        discard_output()
        if code == 0:
            code = _report(_of_output(error))
    return code


def _run(command: Callable[[], Any]) -> int:
    try:
        command()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            # Typer has caught it, and calls it a failure.
            discard_output()
            return 0
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 130
    except ClickstreamError as error:
        return _report(error)
    except BrokenPipeError:
        discard_output()
    except OSError as error:
        known = of_system(error) if error.filename is not None else _of_output(error)
        return _bug() if known is None else _report(known)
    except Exception:  # noqa: BLE001
        return _bug()
    return 0


def _of_output(error: OSError) -> ClickstreamError | None:
    """A write without a path is one to standard output, when standard output fails again."""
    try:
        os.write(1, b"")
        sys.stdout.flush()
    except OSError as again:
        discard_output()
        return StorageError(
            f"standard output: {again.strerror}",
            "Not all of the output was written: send it to a terminal, a pipe or a file with room.",
        )
    return of_system(error)


def _report(error: ClickstreamError | None) -> int:
    if error is None:
        return _bug()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with suppress(OSError):
        console.print(f"[bold red]error:[/] {_lines(error.what)}")
        if error.remedy:
            console.print(_lines(error.remedy))
    return error.exit_code


def _lines(text: str) -> str:
    return "\n".join(plain(line) for line in text.split("\n"))


def _bug() -> int:
    with suppress(OSError):
        traceback.print_exc()
        print("error: this is a bug of clickstream; please report it with the lines above.", file=sys.stderr)
    return BUG


def _open_standard_streams() -> None:
    """No stream is missing, and each takes any text.

    A descriptor that the parent closed would be given to the next file or socket, and a `print` be written
    into that. Standard output stays one that cannot be written: nothing is lost in silence.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        with suppress(OSError):
            os.close(number)
        opened = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        stream = io.FileIO(number, "r", closefd=False) if mode == "r" else _Raw(number)
        buffer = io.BufferedReader(stream) if mode == "r" else io.BufferedWriter(stream)
        setattr(sys, name, io.TextIOWrapper(buffer, encoding="utf-8", line_buffering=mode == "w"))
    for text in (sys.stdout, sys.stderr):
        if isinstance(text, io.TextIOWrapper):
            # A file name that is not UTF-8, a terminal that knows ASCII alone.
            text.reconfigure(errors="backslashreplace")


class _Raw(io.RawIOBase):
    """A descriptor, whatever mode it was opened with."""

    def __init__(self, number: int) -> None:
        self._number = number

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def write(self, content: Any) -> int:
        return os.write(self._number, content)


def discard_output() -> None:
    """The reader of standard output has enough. What is buffered goes nowhere: it would fail once more."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
