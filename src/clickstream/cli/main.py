"""The command `clickstream`: registers one file a command, and runs the one that is asked for."""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

from clickstream.terminal.starting import stoppable_imports, without_pandas

if TYPE_CHECKING:
    import typer

# Help panel and help of each group of commands.
_GROUPS = {
    "scores": ("See it work", "Read the scores topic, and prove that it is right."),
    "shop": ("Run it", "Say what your clicks carry, what to compute of them, and what a conversion is."),
    "models": ("Run it", "Look at the bundles of models, and choose the one in use."),
}

# Name, help panel, module and function under cli; a name of two words is a command of a group.
_COMMANDS = (
    ("demo", "See it work", "demo:demo"),
    ("up", "See it work", "up:up"),
    ("score", "See it work", "score:score"),
    ("sessions", "See it work", "sessions:sessions"),
    ("dashboard", "See it work", "dashboard:dashboard"),
    ("scores tail", None, "tail:tail"),
    ("scores audit", None, "audit:audit"),
    ("shop check", None, "shop:check"),
    ("shop show", None, "shop:show"),
    ("shop mapping", None, "shop_mapping:mapping"),
    ("train", "Run it", "train:train"),
    ("models list", None, "models_list:list_bundles"),
    ("models show", None, "models_show:show"),
    ("models compare", None, "models_compare:compare"),
    ("models promote", None, "models_promote:promote"),
    ("models rollback", None, "models_promote:rollback"),
    ("models verify", None, "models_verify:verify"),
    ("models sign", None, "models_verify:sign"),
    ("models export", None, "models_export:export"),
    ("models watch", None, "watch:watch"),
    ("topics", "Run it", "topics:topics"),
    ("acls", "Run it", "acls:acls"),
    ("replay", "Run it", "replay:replay"),
    ("consume", "Run it", "consume:consume"),
    ("serve", "Run it", "serve:serve"),
    ("top", "Run it", "top:top"),
    ("drain", "Run it", "drain:drain"),
    ("backfill", "Run it", "backfill:backfill_days"),
    ("forget", "Run it", "forget:forget"),
    ("chaos", "See it work", "chaos:chaos"),
    ("doctor", "Run it", "doctor:doctor"),
    ("schemas", None, "schemas:schemas"),
)


def command_line(words: Sequence[str] | None = None) -> typer.Typer:
    """All commands; with `words`, those that they name, and of the others only what `--help` shows of them:
    importing a command takes its time.
    """
    import typer

    app = typer.Typer(
        name="clickstream",
        help="Scores the sessions of a web shop while they happen.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Every setting is also in the environment:"
        " --max-poll-records is CLICKSTREAM_MAX_POLL_RECORDS.",
    )

    shown = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_version, is_eager=True
    )

    @app.callback()
    def everywhere(version: bool = shown) -> None:
        """Options that stand before a command."""

    groups = {name: typer.Typer(no_args_is_help=True, help=text) for name, (_, text) in _GROUPS.items()}
    for name, panel, target in _COMMANDS:
        asked = words is None or name in (" ".join(words[:1]), " ".join(words[:2]))
        command, text = _command_of(target) if asked else (_not_asked_for, _docstring(target))
        group, _, name_in_group = name.rpartition(" ")
        parent = groups[group] if group else app
        parent.command(name_in_group, help=_help(text), rich_help_panel=panel, hidden=name == "schemas")(
            command
        )
    for name, (panel, _) in _GROUPS.items():
        app.add_typer(groups[name], name=name, rich_help_panel=panel)
    return app


def _command_of(target: str) -> tuple[Callable[..., None], str]:
    module, function = target.split(":")
    command = getattr(importlib.import_module(f"clickstream.cli.{module}"), function)
    return command, command.__doc__ or ""


def _docstring(target: str) -> str:
    """Of a command that is not imported."""
    module, function = target.split(":")
    found = files("clickstream.cli").joinpath(f"{module}.py").read_text("utf-8")
    defined = {one.name: one for one in ast.parse(found).body if isinstance(one, ast.FunctionDef)}
    return ast.get_docstring(defined[function]) or ""


def _not_asked_for() -> None:
    raise AssertionError("only the command that is named is imported")


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 an audit or a check found something, 2 wrong usage, sysexits."""
    # Nothing that takes time is imported before.
    with stoppable_imports(sys.argv[1:]):
        from clickstream.cli.boundary import exit_code_of
    sys.exit(exit_code_of(_command))


def _command() -> None:
    # What is imported stays: to search it for cycles, again and again, is a fifth of the time.
    gc.disable()
    with stoppable_imports(sys.argv[1:]), without_pandas():
        from clickstream.infra.settings import unknown_variables

        app = command_line(sys.argv[1:])
    gc.enable()
    for name, nearest in unknown_variables(os.environ):
        meant = f"; did you mean {nearest}?" if nearest else ""
        print(f"warning: {name} is no setting and does nothing{meant}", file=sys.stderr)
    app()


def _version(asked: bool) -> None:
    import typer

    if asked:
        typer.echo(f"clickstream {version('clickstream-scoring')}")
        raise typer.Exit


def _help(text: str) -> str:
    """A docstring for --help: paragraphs that the terminal wraps, brackets that are shown."""
    from rich.markup import escape

    paragraphs = inspect.cleandoc(text).split("\n\n")
    return escape("\n\n".join(part.replace("\n", " ") for part in paragraphs))
