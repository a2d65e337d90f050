"""Page *Score a file*: a file goes through the fold and the models of the consumer, and stays in memory."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import streamlit as st

from clickstream.bundles.bundle import Bundle
from clickstream.dashboard import overview, table, theme, trace
from clickstream.dashboard.results import ScoredFile, results
from clickstream.files.location import find_example
from clickstream.files.mapping import read_mapping
from clickstream.files.source import MAX_BYTES
from clickstream.infra.errors import ClickstreamError
from clickstream.offline import score_file

_EXAMPLE = find_example("own-clicks")
_TYPES = ["csv", "tsv", "txt", "zip", "gz", "json", "jsonl", "ndjson"]


class Upload(NamedTuple):
    """A file to score. `id` is another one for each upload; `mapping` describes its layout, if it is not
    that of UCI 553.
    """

    id: str
    name: str
    content: bytes
    mapping: bytes | None
    mapping_name: str


def page() -> None:
    """Let a person choose a file, score it, and show what came of it."""
    st.header("Score a file")
    with theme.guarded():
        models = theme.bundle()
        if models is None:
            theme.no_bundle()
            return
        upload = _upload()
        if upload is None:
            _forget()
            return
        result = _result(upload, models)
        overview.show(result, models.id)
        chosen = table.show(result)
        trace.show(f"{upload.id} {models.id}", chosen, result, models)


def _upload() -> Upload | None:
    """The file that a person gave, or the example."""
    st.write(
        "Clicks in the columns of [UCI 553](https://archive.ics.uci.edu/dataset/553), as CSV or zip. They are"
        " cleaned, cut into sessions and scored as the stream would. The file stays in this machine's memory;"
        " nothing of it is written to disk."
    )
    given = st.file_uploader(
        "Your file",
        type=_TYPES,
        max_upload_size=MAX_BYTES // 2**20,
        key="file",
    )
    with st.expander("The file has another layout", icon=":material/table_convert:"):
        st.write(
            "Give a mapping: a TOML file that says which of your columns is the session, the product, the"
            " price and so on. CSV and JSON lines will do."
        )
        mapping = st.file_uploader("Mapping, TOML", type=["toml"], max_upload_size=1, key="mapping")
    if given is not None:
        st.session_state.pop("example", None)
        return Upload(
            given.file_id + ("" if mapping is None else f" {mapping.file_id}"),
            given.name,
            given.getvalue(),
            None if mapping is None else mapping.getvalue(),
            "mapping" if mapping is None else mapping.name,
        )
    if _EXAMPLE is None:
        return None
    st.toggle(
        "Try the example: a made-up log of another shop, with its mapping",
        key="example",
    )
    if not st.session_state.get("example"):
        return None
    content, layout = (_EXAMPLE / name for name in ("clicks.csv", "mapping.toml"))
    return Upload("example", content.name, content.read_bytes(), layout.read_bytes(), layout.name)


def _result(upload: Upload, models: Bundle) -> ScoredFile:
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
        mapping = None if upload.mapping is None else read_mapping(upload.mapping, upload.mapping_name)
        score = partial(
            score_file,
            upload.content,
            name=upload.name,
            bundle=models,
            settings=theme.settings(),
            mapping=mapping,
            progress=show_progress,
        )
        made = results().make(key, score, "$" if mapping is None else "")
    except ClickstreamError as error:
        # A new one: the old one's traceback holds the file.
        st.session_state["refused"] = (key, type(error)(error.what, error.remedy))
        raise
    finally:
        bar.empty()
    st.session_state["result"] = key
    return made


def _forget() -> None:
    """Drop the result of this tab: it has one at a time."""
    results().drop(st.session_state.pop("result", None))
