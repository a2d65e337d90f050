"""Page *Models*: the bundle in use and its report, the other ones, promotion and the way back."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from clickstream.bundles import champion
from clickstream.bundles.bundle import load_bundle
from clickstream.bundles.folder import ListedBundle, day_and_time, examine_bundles, figure, history
from clickstream.bundles.promotion_record import Author, recorded
from clickstream.bundles.store import store_of
from clickstream.dashboard import theme
from clickstream.dashboard.login import Visitor, visitor
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.settings import Settings, format_duration

_REPORT_HEIGHT = 900
_DONE, _ASKED = "models-done", "models-asked"


def page() -> None:
    """Show the bundles, and let a person choose the one in use."""
    st.header("Models")
    settings = theme.settings()
    if _DONE in st.session_state:
        st.success(st.session_state.pop(_DONE), icon=":material/check:")
    try:
        found = list(reversed(list(examine_bundles(settings, theme.shop().definition.name))))
    except ClickstreamError as error:
        theme.problem(error)
        return
    if not found:
        theme.no_bundle()
        return
    _table(found)
    who = visitor(settings)
    if settings.dashboard_read_only:
        st.caption("Read-only: nothing is promoted here. `clickstream models promote` does.")
    elif who.too_long_ago:
        limit = format_duration(settings.dashboard_login_lasts)
        st.caption(f"You logged in more than {limit} ago: reload the page to log in again, then promote.")
    elif not who.may_promote:
        st.caption("You may look, and not promote: CLICKSTREAM_DASHBOARD_PROMOTERS does not name you.")
    else:
        _choose(found, settings, who)
    _record(settings)
    in_use = next((one for one in found if one.in_use), None)
    if in_use is not None:
        _report(in_use)


def _table(found: Sequence[ListedBundle]) -> None:
    spent = theme.shop().definition.goal.value is not None
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "": "in use" if one.in_use else "",
                    "bundle": one.id,
                    "trained": day_and_time(one.manifest.created_at) if one.manifest else "–",
                    "on": one.manifest.data.name if one.manifest else "–",
                    "sessions": one.manifest.data.sessions if one.manifest else None,
                    "batch AUC": _value(one, "batch", "auc"),
                    **({"batch R²": _value(one, "batch", "r2")} if spent else {}),
                    "online AUC": _value(one, "online", "auc"),
                    "usable": "yes" if one.problem is None else f"no: {one.problem.what}",
                }
                for one in found
            ]
        ),
        hide_index=True,
        width="stretch",
        column_config={
            "sessions": st.column_config.NumberColumn(format="localized"),
            **{
                name: st.column_config.NumberColumn(format="%.3f")
                for name in ("batch AUC", "batch R²", "online AUC")
            },
        },
    )
    st.caption("Figures on sessions that training did not see. Each bundle is verified here, none is opened.")


def _value(one: ListedBundle, scorer: str, name: str) -> float | None:
    return figure(one.manifest, scorer, name) if one.manifest else None


def _choose(found: Sequence[ListedBundle], settings: Settings, who: Visitor) -> None:
    """Offer promotion and rollback, each with a second step that says what it does."""
    others = [one.id for one in found if one.problem is None and not one.in_use]
    earlier = history(settings, theme.shop().definition.name)[1:]
    left, right = st.columns(2, gap="large")
    with left, st.container(border=True):
        st.subheader("Promote")
        if others:
            wanted = st.selectbox("Bundle to put in use", others)
            if st.button("Promote …", key="promote"):
                st.session_state[_ASKED] = ("promote", wanted)
        else:
            st.caption("There is no other bundle that can be used here.")
    with right, st.container(border=True):
        st.subheader("Roll back")
        if earlier:
            st.text(f"In use before: {earlier[0].bundle_id}")
            if st.button("Roll back …", key="rollback"):
                st.session_state[_ASKED] = ("roll back to", earlier[0].bundle_id)
        else:
            st.caption("No bundle was in use before this one.")
    if _ASKED in st.session_state:
        _confirm(settings, who, *st.session_state[_ASKED])


def _confirm(settings: Settings, who: Visitor, step: str, bundle_id: str) -> None:
    with st.container(border=True):
        st.text(f"{bundle_id} will be in use.")
        st.caption(_effect(settings))
        left, right = st.columns(2)
        if who.name is not None:
            left.text(f"Logged in as {who.name}")
            name = who.name
        else:
            name = left.text_input(
                "Your name",
                key="author",
                persist_state="session",
                max_chars=100,
                placeholder="for the record",
                help="There is no login: the record says what stands here.",
            )
        reason = right.text_input("Reason", key="reason", max_chars=300, placeholder="for the record")
        yes, no, _ = st.columns([1, 1, 4])
        if no.button("Cancel", key="cancel", width="stretch"):
            del st.session_state[_ASKED]
            st.rerun()
        if yes.button(f"Yes, {step.split()[0]}", type="primary", key="confirm", width="stretch"):
            del st.session_state[_ASKED]
            through = "dashboard" if who.name is None else "dashboard, logged in"
            author = Author(name.strip() or "no name given", through, reason.strip())
            try:
                # As a consumer would: one that cannot be loaded is not put in use.
                load_bundle(settings, bundle_id)
                store = store_of(settings, theme.shop().definition.name)
                if step == "promote":
                    champion.promote(_folder(settings), bundle_id, author=author, store=store)
                else:
                    champion.roll_back(_folder(settings), bundle_id, author, store)
            except ClickstreamError as error:
                theme.problem(error)
                return
            st.session_state[_DONE] = f"{bundle_id} is in use."
            st.rerun()


def _record(settings: Settings) -> None:
    """Who put which bundle in use, and when."""
    st.subheader("Promotions")
    with theme.guarded():
        found = recorded(_folder(settings))
        if not found:
            st.caption("None was recorded yet.")
            return
        rows = [
            {
                "when": day_and_time(one.at),
                "who": one.author.name,
                "by": one.author.through,
                "what": one.step,
                "in use since": one.bundle_id,
                "before": one.before or "–",
                "reason": one.author.reason or "–",
            }
            for one in found
        ]
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            height=min(38 + 35 * len(rows), 320),
            key="promotions",
            alt="Who put which bundle in use, when and why, the latest first",
        )
        st.caption("As commands, training and this page wrote it to `promotions.jsonl` beside the bundles.")


def _folder(settings: Settings) -> Path:
    return champion.bundles_of(settings.bundles, theme.shop().definition.name)


def _effect(settings: Settings) -> str:
    if settings.bundle != champion.CHAMPION:
        return "CLICKSTREAM_BUNDLE names another bundle: consumers with it go on using that one."
    return "Running consumers take it within seconds, between two steps. No session is lost."


def _report(one: ListedBundle) -> None:
    st.subheader("Report of the bundle in use")
    file = one.path / "report.html"
    if one.problem is not None:
        st.caption("There is none to show: the bundle is not usable here.")
        return
    if not file.is_file():
        st.caption("This bundle has none; `clickstream models show` prints its figures.")
        return
    report = file.read_bytes()
    st.download_button("Download the report", report, f"{one.id}.html", "text/html")
    # A data: URL is an origin of its own: whatever stands in the report, it cannot reach this page.
    address = f"data:text/html;charset=utf-8;base64,{base64.b64encode(report).decode()}"
    st.iframe(address, height=_REPORT_HEIGHT)
