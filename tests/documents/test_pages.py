"""The pages that are made from the code say all of it."""

from __future__ import annotations

import re
from functools import cache

from clickstream.documents import documents
from clickstream.documents.command_tree import commands
from clickstream.infra.settings import Settings, load_settings


@cache
def page(name: str) -> str:
    return documents()[f"reference/{name}.md"].decode()


@cache
def rows() -> dict[str, list[str]]:
    """Setting -> the cells of its row."""
    found = (re.split(r" *\| *", line.strip("| ")) for line in page("settings").splitlines())
    return {cells[0].strip("`"): cells for cells in found if re.fullmatch(r"`[a-z_]+`", cells[0])}


def test_each_setting_has_one_row_with_its_meaning() -> None:
    names = re.findall(r"^\| `([a-z_]+)` \|", page("settings"), re.M)
    assert sorted(names) == sorted(Settings.model_fields)
    assert all(len(cells) == 5 and len(cells[-1]) > 10 for cells in rows().values())


def test_the_default_on_the_page_is_the_default() -> None:
    defaults = load_settings()
    for name, (_, default, _, _, _) in rows().items():
        if default == "none":
            assert getattr(defaults, name) is None
        elif name != "home":
            assert getattr(load_settings(**{name: default.strip("`")}), name) == getattr(defaults, name), name


def test_a_setting_names_the_commands_that_have_it_as_an_option() -> None:
    assert rows()["gap"][3] == "`consume`"
    assert rows()["scores_topic"][3] == "`scores tail, audit`; `models watch`"
    assert rows()["patience"][3] == ""


def test_a_secret_is_told_as_one_and_no_default_of_it_is_shown() -> None:
    for name in ("kafka_password", "redis_url", "bundle_key"):
        assert rows()[name][1:3] == ["none", "text, secret"]


def test_each_command_has_a_section_with_all_its_options() -> None:
    sections = dict(re.findall(r"^## clickstream (.+)\n((?:(?!^## ).*\n)*)", page("commands"), re.M))
    shown = commands()
    assert list(sections) == [command.name for command in shown]
    assert "schemas" not in sections
    for command in shown:
        assert f"(#clickstream-{command.name.replace(' ', '-')})" in page("commands")
        for option in command.options:
            for spelling in option.spellings:
                if spelling.startswith("-"):
                    assert spelling in sections[command.name], (command.name, spelling)
