"""The column picker: which column of a file is which field of the shop, with a preview; saved as a mapping.

What is scored is read from the very text that can be saved, so commands that take it read the same clicks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from clickstream.dashboard import theme
from clickstream.features.shop import UCI553, Shop
from clickstream.features.words import field_in_words
from clickstream.files.cleaning import CleaningReport
from clickstream.files.click_log import ClickLog
from clickstream.files.mapping import (
    ColumnChoice,
    ColumnMapping,
    choices_of,
    mapped_fields,
    mapping_file,
    read_mapping,
    read_sample,
    read_shop_mapping,
)
from clickstream.files.mapping.fields import as_text
from clickstream.files.mapping.guess import MappedField
from clickstream.files.mapping.spec import RowSelection
from clickstream.files.mapping.table import FileSample
from clickstream.files.reading import read_clicks
from clickstream.infra.errors import InputError
from clickstream.records.shops import shop_file

_NONE = "–"
_FORMATS = ("iso", "s", "ms", "us", "ns")
_PREVIEWED = 8
_VALUES_SHOWN, _MOST_TEXTS = 3, 50
_ERRORS_SHOWN = 100
_IN_WORDS = {
    "session_id": "who visits: a session, or a visitor whose visits the gap cuts",
    "event_time": "when",
    "order": "place of the click in its session",
    "end": "true where the visit is over",
}
_DERIVED = {"price_2": "taken from the mean of the category", "page": "taken from the products seen"}


def pick(file_id: str, name: str, content: bytes, shop: Shop) -> bytes | None:
    """Let a person choose the columns of a file; the mapping file, once it is to be scored by.

    Raises:
        InputError: it is no log file, or no row of it can be used by these columns.
    """
    sample = _sample(file_id, name, content, shop)
    st.subheader("Columns")
    st.caption(
        "Which column of the file is which field of the shop. What the names suggest is chosen already."
    )
    theme.words(f"{name} · shop {shop.definition.name}")
    choices = _choose(file_id, sample, shop)
    lacking = [field.name for field in mapped_fields(shop.definition) if field.is_needed]
    lacking = [one for one in lacking if one not in choices]
    if lacking:
        st.info(
            f"Choose a column for {', '.join(f'`{one}`' for one in lacking)}.",
            icon=":material/table_convert:",
        )
        return None
    rows, values = _rows_and_values(file_id, sample, choices, shop)
    renamed = {field: replace(one, values=values.get(field, {})) for field, one in choices.items()}
    text = mapping_file(renamed, shop.definition, rows)
    _preview(file_id, name, content, text, shop)
    _save(text)
    if st.button("Score with these columns", type="primary", key="score", icon=":material/play_arrow:"):
        st.session_state["picked"] = (file_id, text)
    return text if st.session_state.get("picked") == (file_id, text) else None


def read_saved(text: bytes, name: str, shop: Shop) -> ColumnMapping:
    """The mapping in a file onto the clicks of a shop.

    Raises:
        InputError: it is none; names the key and what belongs there.
    """
    if shop is UCI553:
        return read_mapping(text, name)
    return read_shop_mapping(text, shop.definition, name)


def _sample(file_id: str, name: str, content: bytes, shop: Shop) -> FileSample:
    kept: tuple[str, FileSample] | None = st.session_state.get("sample")
    if kept is None or kept[0] != file_id:
        kept = file_id, read_sample(content, name, shop.definition)
        st.session_state["sample"] = kept
        st.session_state.pop("preview", None)
    return kept[1]


def _choose(file_id: str, sample: FileSample, shop: Shop) -> dict[str, ColumnChoice]:
    guessed = choices_of(sample, shop.definition)
    words = {field.name: field_in_words(field) for field in shop.definition.fields} | _IN_WORDS
    choices = {}
    for field in mapped_fields(shop.definition):
        help = words.get(field.name, "") + ("" if field.is_needed else "; may be left out")
        if field.name in _DERIVED and shop is UCI553:
            help = f"{words[field.name]}; left out: {_DERIVED[field.name]}"
        chosen = _choose_one(file_id, field, guessed.get(field.name), sample, help)
        if chosen is not None:
            choices[field.name] = chosen
    return choices


def _choose_one(
    file_id: str, field: MappedField, guess: ColumnChoice | None, sample: FileSample, help: str
) -> ColumnChoice | None:
    options = [_NONE, *sample.columns]
    place, detail, shown = st.columns([3, 3, 3], vertical_alignment="bottom")
    key = f"{field.name} {file_id}"
    column = place.selectbox(
        f"{field.name}{' *' if field.is_needed else ''}",
        options,
        index=0 if guess is None else options.index(guess.column),
        key=f"column {key}",
        persist_state="session",
        help=help,
    )
    if column == _NONE:
        return None
    with shown:
        st.caption("First values")
        theme.words(", ".join(text[:24] for text in _texts(sample, column)[:_VALUES_SHOWN]) or "none")
    guess = guess if guess is not None and guess.column == column else ColumnChoice(column)
    left, right = detail.columns(2)
    if field.is_time:
        formats = list(dict.fromkeys((guess.format, *_FORMATS)))
        format = left.selectbox(
            "Format",
            formats,
            key=f"format {key} {column}",
            persist_state="session",
            accept_new_options=True,
            help="iso: ISO 8601; s, ms, us, ns: since 1970; or a pattern such as %d.%m.%Y %H:%M:%S",
        )
        zone = right.text_input(
            "Time zone",
            "UTC",
            key=f"zone {key}",
            persist_state="session",
            help="Of times that do not say theirs",
        )
        return ColumnChoice(column, format=format or "iso", timezone=zone.strip() or "UTC")
    missing = up_to = ""
    if field.name != "session_id":
        missing = left.text_input(
            "Where empty",
            key=f"missing {key}",
            persist_state="session",
            placeholder="absent",
            help="Taken where the column is empty",
        )
    decimal = guess.decimal
    if field.is_number:
        decimal = right.selectbox(
            "Decimal sign",
            [".", ","],
            index=[".", ","].index(guess.decimal),
            key=f"decimal {key} {column}",
            persist_state="session",
        )
    elif field.is_text and field.name != "session_id":
        up_to = right.text_input(
            "Up to",
            key=f"up to {key}",
            persist_state="session",
            max_chars=8,
            placeholder="all of it",
            help="Only what stands before this sign is taken: with a dot, `a.b.c` is `a`",
        )
    return ColumnChoice(column, missing.strip(), decimal, up_to=up_to)


def _rows_and_values(
    file_id: str, sample: FileSample, choices: Mapping[str, ColumnChoice], shop: Shop
) -> tuple[RowSelection | None, dict[str, dict[str, str]]]:
    """Which rows are clicks, None for all, and of fields what their texts stand for."""
    with st.expander("Rows that are no clicks, and texts that mean another", icon=":material/filter_alt:"):
        return _rows(file_id, sample), _values(file_id, sample, choices, shop)


def _rows(file_id: str, sample: FileSample) -> RowSelection | None:
    left, middle, right = st.columns(3)
    column = left.selectbox(
        "Rows are told apart by",
        [_NONE, *sample.columns],
        key=f"rows {file_id}",
        persist_state="session",
        help="A column such as the kind of event; –: all rows are clicks",
    )
    if column == _NONE:
        return None
    found = _texts(sample, column)
    keep, end = (
        place.multiselect(
            label,
            found,
            key=f"{label} {file_id} {column}",
            persist_state="session",
            accept_new_options=True,
            help=help,
        )
        for place, label, help in (
            (middle, "Clicks have", "Rows with other texts are skipped"),
            (right, "A visit ends with", "The last click of the session up to such a row is its end"),
        )
    )
    if not keep:
        st.caption("Until a text is chosen, all rows are clicks.")
        return None
    return RowSelection(column=column, keep=keep, end=end)


def _values(
    file_id: str, sample: FileSample, choices: Mapping[str, ColumnChoice], shop: Shop
) -> dict[str, dict[str, str]]:
    texts = [field.name for field in mapped_fields(shop.definition) if field.is_text]
    fields = st.multiselect(
        "Fields with texts that mean another",
        [name for name in texts if name in choices and name != "session_id"],
        key=f"renamed {file_id}",
        persist_state="session",
    )
    renamed = {}
    for name in fields:
        column = choices[name].column
        written = st.text_area(
            f"Texts of {name}: as they stand in the file = as they are meant",
            "\n".join(f"{text} = {text}" for text in _texts(sample, column)),
            key=f"values {name} {file_id} {column}",
            persist_state="session",
            help="One a line. A text in no line is refused, or what is taken where empty stands for it.",
        )
        pairs = (line.rpartition(" = ") for line in written.splitlines())
        values = {text.strip(): meant.strip() for text, sign, meant in pairs if sign and meant.strip()}
        if any(text != meant for text, meant in values.items()):
            renamed[name] = values
    return renamed


def _texts(sample: FileSample, column: str) -> list[str]:
    """What the first rows have in a column, the first `_MOST_TEXTS` of it."""
    found = (row(column) for row in sample.rows)
    return list(dict.fromkeys(as_text(value) for value in found if value not in (None, "")))[:_MOST_TEXTS]


def _preview(file_id: str, name: str, content: bytes, text: bytes, shop: Shop) -> None:
    """The first clicks as they would be read, and what is wrong with rows, by column."""
    kept: tuple[str, bytes, Any] | None = st.session_state.get("preview")
    if kept is None or kept[:2] != (file_id, text):
        with st.spinner("reading the file by these columns"):
            kept = file_id, text, _read(name, content, text, shop)
        st.session_state["preview"] = kept
    found = kept[2]
    if isinstance(found, InputError):
        raise InputError(found.what, found.remedy)
    rows, cleaning = found
    st.subheader("Preview")
    kept_, refused, sessions = st.columns(3)
    kept_.metric("Rows that are clicks", theme.count(cleaning.kept), border=True)
    refused.metric("Refused", theme.count(len(cleaning.refused)), border=True)
    sessions.metric("Sessions or visitors", theme.count(rows.sessions), border=True)
    st.dataframe(rows.frame, hide_index=True, key="preview_clicks", alt="The first clicks, as they are read")
    _problems(cleaning)


class _FirstClicks:
    """The first clicks of a log as a table, and how many session ids it has."""

    def __init__(self, log: ClickLog) -> None:
        self.sessions = len(log.session_ids)
        records, times = log.records, log.times
        names = [field.name for field in log.definition.fields]
        rows: list[dict[str, Any]] = []
        for session, start in enumerate(log.starts[:-1].tolist()):
            for place in range(start, int(log.starts[session + 1])):
                if len(rows) == _PREVIEWED:
                    break
                record = records[int(log.view_of[place])]
                at = None if times is None else pd.Timestamp(int(times[place]), unit="ms", tz="UTC")
                said = {name: record.get(name) for name in names}
                rows.append({"session_id": log.session_ids[session], "event_time": at} | said)
        self.frame = pd.DataFrame(rows).dropna(axis="columns", how="all")


def _read(
    name: str, content: bytes, text: bytes, shop: Shop
) -> tuple[_FirstClicks, CleaningReport] | InputError:
    try:
        log, cleaning = read_clicks(content, shop, read_saved(text, "mapping.toml", shop), name)
    except InputError as error:
        # A new one: the old one's traceback holds the file.
        return InputError(error.what, error.remedy)
    return _FirstClicks(log), cleaning


def _problems(cleaning: CleaningReport) -> None:
    if not cleaning.refused:
        return
    st.caption("Rows that cannot be used, by column. The rest is scored without them.")
    seen: dict[tuple[str, str], list[Any]] = {}
    for row in cleaning.refused:
        seen.setdefault((row.reason, row.detail), [0, row.line])[0] += 1
    rows = [(column, detail, n, line) for (column, detail), (n, line) in seen.items()]
    rows.sort(key=lambda row: -row[2])
    st.dataframe(
        pd.DataFrame(rows[:_ERRORS_SHOWN], columns=["column", "what is wrong", "rows", "first line"]),
        hide_index=True,
        key="preview_errors",
        alt="What is wrong with rows, by column and value",
    )


def _save(text: bytes) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        for content, name in ((text, "mapping.toml"), (shop_file(theme.settings().shop), "shop.toml")):
            st.download_button(
                name,
                content,
                name,
                "application/toml",
                on_click="ignore",
                icon=":material/download:",
                key=f"save-{name}",
            )
    st.caption(
        "Both serve the commands as they are: `clickstream score FILE --shop shop.toml --mapping"
        " mapping.toml`; `train` and `replay` take the log as `--data FILE`."
    )
