"""The page of the settings, made of their definitions and of the options that set them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from clickstream.documents.command_tree import commands
from clickstream.documents.templates import page
from clickstream.infra.settings import RULES, Settings, format_duration, is_duration

_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "places": ("home", "bundle", "bundle_key", "bundle_key_file"),
    "kafka": (
        "kafka_bootstrap",
        "kafka_security_protocol",
        "kafka_sasl_mechanism",
        "kafka_username",
        "kafka_password",
        "kafka_ca_file",
    ),
    "redis": ("redis_url", "redis_cluster"),
    "topics": ("clicks_topic", "scores_topic", "dead_letter_topic", "partitions", "replication_factor"),
    "group": ("group", "instance", "session_timeout"),
    "rules": RULES,
    "loop": ("max_poll_records", "commit_interval", "idle_after", "rebuild_horizon", "patience"),
    "lookup": ("lookup_token",),
    "logs": ("log_level", "log_format"),
    "metrics": ("metrics_port", "metrics_host"),
}
"""Sections of the template, and what stands in each; a setting that is in none comes last."""


class SettingRow(NamedTuple):
    """A line of a table."""

    name: str
    default: str
    values: str
    options: str
    meaning: str


def settings_page() -> str:
    """The content of docs/reference/settings.md."""
    named = {name for names in _SECTIONS.values() for name in names}
    others = tuple(name for name in Settings.model_fields if name not in named)
    options = _options()
    tables = {
        section: [_row(name, Settings.model_fields[name], options[name]) for name in names]
        for section, names in {**_SECTIONS, "others": others}.items()
    }
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
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if is_duration(field):
        return "duration"
    if kind is bool:
        return "`true`, `false`"
    if kind is int:
        least = next((str(one.ge) for one in field.metadata if isinstance(one, Ge)), "0")
        most = next((f"{one.le:,}" for one in field.metadata if isinstance(one, Le)), None)
        return f"{least} to {most}" if most else f"{least} or more"
    return {"Path": "path", "SecretStr": "text, secret"}.get(kind.__name__, "text")


def _kind(field: FieldInfo) -> Any:
    """The type of a setting where it is given."""
    choices = [one for one in get_args(field.annotation) if one is not type(None)]
    if get_origin(field.annotation) is Literal or not choices:
        return field.annotation
    # Annotated[SecretStr, …] | None
    return SecretStr if get_args(choices[0]) else choices[0]
