"""Page *Score a file*: a file goes through the fold and the models of the consumer."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import NamedTuple

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from clickstream.bundles.bundle import Bundle
from clickstream.dashboard import overview, picker, table, theme, trace
from clickstream.dashboard.results import ScoredFile, results
from clickstream.features.shop import UCI553, Shop
from clickstream.files.location import find_example
from clickstream.files.mapping import read_sample
from clickstream.files.rows import missing_columns
from clickstream.files.source import MAX_BYTES, PARQUET
from clickstream.files.text import looks_like_data
from clickstream.infra.errors import ClickstreamError, InputError
from clickstream.offline.scoring import score_file

_EXAMPLES = {
    "uci553": ("own-clicks", "clicks.csv", "a made-up log of another shop, with its mapping"),
    "online-store": ("online-store", "events.csv.gz", "a made-up log of an online store, with its mapping"),
}
"""Shop -> folder of an example of it, the log there, and what it is."""

_FEW_LACKING = 6
"""Columns of UCI 553 of 14 that a file may lack to be told so, rather than asked which are meant."""

_TYPES = ["csv", "tsv", "txt", "zip", "gz", "zst", "json", "jsonl", "ndjson", "parquet"]


class Upload(NamedTuple):
    """A file to score. `id` is another one for each upload; `mapping` describes its layout, if it is not
    that of UCI 553. `gap`, ms, is between two visits.
    """

    id: str
    name: str
    content: bytes
    mapping: bytes | None
    mapping_name: str
    gap: int


def page() -> None:
    """Let a person choose a file, score it, and show what came of it."""
    st.header("Score a file")
    with theme.guarded():
        shop, models = theme.shop(), theme.bundle()
        if models is None:
            theme.no_bundle()
            return
        upload = _upload(shop)
        if upload is None:
            _forget()
            return
        result = _result(upload, shop, models)
        overview.show(result, models)
        chosen = table.show(result)
        trace.show(f"{upload.id} {models.id}", chosen, result, models)


def _upload(shop: Shop) -> Upload | None:
    """The file that a person gave, or the example, once its columns are known."""
    st.write(
        f"Clicks of the shop `{shop.definition.name}`, as CSV, JSON lines or Parquet"
        + (
            ": in the columns of [UCI 553](https://archive.ics.uci.edu/dataset/553), or in others that you"
            " choose."
            if shop is UCI553
            else ", in whatever columns."
        )
        + " They are cleaned, cut into sessions and scored as the stream would. The file stays on this"
        " machine, in memory; by columns that you choose it is read from a private temporary folder that"
        " is gone at once."
    )
    given = _kept_over_pages(
        "file",
        st.file_uploader(
            "Your file",
            type=_TYPES,
            max_upload_size=MAX_BYTES // 2**20,
            key="file",
            on_change=_keep,
            args=("file",),
        ),
    )
    with st.expander("A mapping that was saved, and the gap between visits", icon=":material/table_convert:"):
        left, right = st.columns([3, 1])
        mapping = left.file_uploader(
            "Mapping, TOML",
            type=["toml"],
            max_upload_size=1,
            key="mapping",
            on_change=_keep,
            args=("mapping",),
        )
        with left:
            mapping = _kept_over_pages("mapping", mapping)
        usual = theme.settings().gap
        minutes = right.number_input(
            "Gap, minutes",
            1,
            24 * 60,
            max(usual // 60_000, 1),
            key="gap",
            persist_state="session",
            help="So long without a click ends a visit. Commands take it from CLICKSTREAM_GAP, in ms.",
        )
        gap = usual if minutes == max(usual // 60_000, 1) else int(minutes) * 60_000
    if given is None:
        return _example(shop, gap)
    st.session_state.pop("example", None)
    content = given.getvalue()
    if mapping is not None:
        text: bytes | None = mapping.getvalue()
        chosen = mapping.file_id, mapping.name
    elif shop is UCI553 and _is_uci(given.file_id, content, given.name):
        text, chosen = None, ("", "mapping")
    else:
        text = picker.pick(given.file_id, given.name, content, shop)
        if text is None:
            return None
        chosen = hashlib.sha256(text).hexdigest(), "mapping.toml"
    return Upload(f"{given.file_id} {chosen[0]} {gap}", given.name, content, text, chosen[1], gap)


def _keep(key: str) -> None:
    """Remember what an uploader holds, or that it was emptied: it forgets when another page is shown."""
    st.session_state[f"kept {key}"] = st.session_state[key]


def _kept_over_pages(key: str, given: UploadedFile | None) -> UploadedFile | None:
    """What the uploader holds, or held before another page was shown; that can be taken away."""
    kept: UploadedFile | None = st.session_state.get(f"kept {key}")
    if given is not None or kept is None:
        return given
    with st.container(horizontal=True, vertical_alignment="center"):
        theme.words(f"{kept.name}, given before")
        # A press is handled before the page is drawn again, without the file.
        st.button(
            "Take it away", key=f"take-away-{key}", on_click=st.session_state.pop, args=(f"kept {key}",)
        )
    return kept


def _is_uci(file_id: str, content: bytes, name: str) -> bool:
    """Whether it has the columns of UCI 553, or cannot be read at all, which scoring it says best."""
    kept: tuple[str, bool] | None = st.session_state.get("layout")
    if kept is None or kept[0] != file_id:
        try:
            columns = read_sample(content, name, UCI553.definition).columns
        except InputError:
            columns = []
        lacking = len(missing_columns(columns))
        # Of one column there is nothing to choose; one that lacks many is another layout.
        is_uci = len(columns) < 2 or lacking <= _FEW_LACKING or looks_like_data(columns)
        kept = file_id, is_uci and not content.startswith(PARQUET)
        st.session_state["layout"] = kept
    return kept[1]


def _example(shop: Shop, gap: int) -> Upload | None:
    folder = (
        None if shop.definition.name not in _EXAMPLES else find_example(_EXAMPLES[shop.definition.name][0])
    )
    if folder is None:
        return None
    _, file, words = _EXAMPLES[shop.definition.name]
    st.toggle(f"Try the example: {words}", key="example", persist_state="session")
    if not st.session_state.get("example"):
        return None
    content, layout = folder / file, folder / "mapping.toml"
    return Upload(f"example {gap}", content.name, content.read_bytes(), layout.read_bytes(), layout.name, gap)


def _result(upload: Upload, shop: Shop, models: Bundle) -> ScoredFile:
    """The result of this upload and bundle, kept or made now.

    Raises:
        ClickstreamError: the file cannot be used; the same again at once when the page is drawn anew.
    """
    key = f"{upload.id} {models.id}"
    kept = results().get(key)
    if kept is not None:
        return kept
    _forget()
    refused: tuple[str, ClickstreamError] | None = st.session_state.get("refused")
    if refused is not None and refused[0] == key:
        raise refused[1]
    st.session_state.pop("refused", None)
    bar = st.progress(0.0, "waiting for its turn")

    def show_progress(share: float, words: str) -> None:
        bar.progress(share, words)

    try:
        mapping = (
            None if upload.mapping is None else picker.read_saved(upload.mapping, upload.mapping_name, shop)
        )
        score = partial(
            score_file,
            upload.content,
            name=upload.name,
            bundle=models,
            settings=theme.settings().model_copy(update={"gap": upload.gap}),
            mapping=mapping,
            progress=show_progress,
        )
        made = results().make(key, score, _currency(shop, mapping is not None), shop)
    except ClickstreamError as error:
        # A new one: the old one's traceback holds the file.
        st.session_state["refused"] = (key, type(error)(error.what, error.remedy))
        raise
    finally:
        bar.empty()
    st.session_state["result"] = key
    return made


def _currency(shop: Shop, is_mapped: bool) -> str:
    # Nobody says in which currency the prices of a mapped file of uci553 are.
    return "" if shop is UCI553 and is_mapped else theme.currency(shop)


def _forget() -> None:
    """Drop the result of this tab: it has one at a time."""
    results().drop(st.session_state.pop("result", None))
