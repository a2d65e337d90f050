"""The page of the settings, made of their definitions and of the options that set them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from clickstream.documents.command_tree import commands
from clickstream.documents.templates import page
from clickstream.infra.settings import Settings, format_duration, is_duration

_FIRST: Mapping[str, str] = {
    "home": "places",
    "kafka_bootstrap": "kafka",
    "redis_url": "redis",
    "clicks_topic": "topics",
    "group": "group",
    "gap": "rules",
    "max_poll_records": "loop",
    "metrics_port": "metrics",
    "lookup_token": "lookup",
    "log_level": "logs",
}
"""The first setting of each section of the template; the section has what follows it in the class, too."""


class SettingRow(NamedTuple):
    """A line of a table."""

    name: str
    default: str
    values: str
    options: str
    meaning: str


def settings_page() -> str:
    """The content of docs/reference/settings.md."""
    options = _options()
    tables: dict[str, list[SettingRow]] = defaultdict(list)
    section = ""
    for name, field in Settings.model_fields.items():
        section = _FIRST.get(name, section)
        tables[section].append(_row(name, field, options[name]))
    return page("settings.md.j2", tables=tables)


def _options() -> Mapping[str, list[str]]:
    """Setting -> the commands that have an option of its name."""
    found: dict[str, list[str]] = defaultdict(list)
    for command in commands():
        group, _, name = command.name.rpartition(" ")
        for option in command.options:
            if f"--{option.name.replace('_', '-')}" in option.spellings:
                shown = found[option.name]
                if group and shown and shown[-1].startswith(f"{group} "):
                    # Those of one group behind each other: models list, show, …
                    shown[-1] += f", {name}"
                else:
                    shown.append(command.name)
    return found


def _row(name: str, field: FieldInfo, options: list[str]) -> SettingRow:
    if not field.description:
        raise ValueError(f"the setting {name} has no description")
    written = "; ".join(f"`{names}`" for names in options)
    return SettingRow(name, _default(name, field), _values(field), written, field.description)


def _default(name: str, field: FieldInfo) -> str:
    if name == "home":
        return "`~/.local/share/clickstream`"
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{format_duration(value) if is_duration(field) else value}`"


def _values(field: FieldInfo) -> str:
    kind = _kind(field)
    bounds = [*field.metadata, *_bounds(field)]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if is_duration(field):
        return "duration"
    if kind is bool:
        return "`true`, `false`"
    if kind is int:
        least = next((str(one.ge) for one in bounds if isinstance(one, Ge)), "0")
        most = next((f"{one.le:,}" for one in bounds if isinstance(one, Le)), None)
        return f"{least} to {most}" if most else f"{least} or more"
    return {"Path": "path", "SecretStr": "text, secret"}.get(kind.__name__, "text")


def _kind(field: FieldInfo) -> Any:
    """The type of a setting where it is given."""
    choices = [one for one in get_args(field.annotation) if one is not type(None)]
    if get_origin(field.annotation) is Literal or not choices:
        return field.annotation
    # Annotated[SecretStr, …] | None
    return get_args(choices[0])[0] if get_args(choices[0]) else choices[0]


def _bounds(field: FieldInfo) -> list[Any]:
    """Those of Annotated[int, Field(ge=…, le=…)] | None."""
    inner = [more for one in get_args(field.annotation) for more in get_args(one)[1:]]
    return [bound for one in inner if isinstance(one, FieldInfo) for bound in one.metadata]
