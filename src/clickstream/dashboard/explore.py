"""Page *Data*: what the dataset holds, before any model."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import pandas as pd
import streamlit as st

from clickstream.dashboard import theme
from clickstream.dashboard.tables import DatasetTables, conversion_by, paths, tables_of
from clickstream.files.dataset import read_dataset
from clickstream.files.location import find_dataset
from clickstream.files.source import WHERE

_MOST_COUNTRIES, _MOST_PRODUCTS, _LONGEST = 12, 20, 30
_BAR, _MEAN = theme.COLOURS["batch"], theme.COLOURS["online"]

_FEATURES = {
    "clicks": "clicks in the session",
    "depth": "deepest page",
    "categories": "categories seen",
    "transitions": "changes of category",
    "premium share": "share of clicks above the mean price of the category",
    "mean price": "mean price, US dollars",
    "last category": "last category",
}


def page() -> None:
    """Show the dataset from several sides."""
    st.header("Data")
    file = find_dataset(None)
    if file is None:
        theme.nothing(
            "The dataset is not here", f"{WHERE} Put it into data/, or name it in CLICKSTREAM_DATA."
        )
        return
    with st.spinner("Reading the dataset …"):
        tables = _tables((file, file.stat().st_mtime if file.exists() else 0.0))
    sessions = tables.sessions
    _tiles(tables)
    st.caption(
        "The file has days and an order within a session, no times: so no hour of the day is here. It has"
        " no purchases either: conversion is a rule over the last click (its price is above the mean of its"
        " category, or it lies on page 4 or deeper)."
    )
    left, right = st.columns(2, gap="large")
    with left:
        _lengths(sessions)
        _countries(tables)
        _prices(tables)
    with right:
        _days(sessions)
        _weekdays(sessions)
        _categories(tables)
    _paths(tables)
    _products(tables)
    _conversion(sessions)


@st.cache_resource(show_spinner=False, max_entries=1)
def _tables(version: tuple[Path, float]) -> DatasetTables:
    file, _ = version  # the time of the last change is for the cache: then it is read again
    return tables_of(read_dataset(file))


def _tiles(tables: DatasetTables) -> None:
    sessions = tables.sessions
    for column, (label, value) in zip(
        st.columns(5),
        (
            ("Clicks", theme.count(len(tables.clicks))),
            ("Sessions", theme.count(len(sessions))),
            ("Days", theme.count(sessions["day"].nunique())),
            ("Clicks a session, median", f"{sessions['clicks'].median():.0f}"),
            ("Conversion (proxy)", theme.percent(sessions["converted"].mean())),
        ),
        strict=True,
    ):
        column.metric(label, value, border=True)


def _bars(table: pd.DataFrame, x: alt.X, y: alt.Y, words: str) -> None:
    tooltip = [alt.Tooltip(column) for column in table.columns]
    theme.chart(alt.Chart(table).mark_bar(color=_BAR).encode(x=x, y=y, tooltip=tooltip), words)


def _lengths(sessions: pd.DataFrame) -> None:
    st.subheader("Sessions by length")
    counts = sessions["clicks"].clip(upper=_LONGEST).value_counts().sort_index()
    table = counts.rename_axis("clicks").reset_index(name="sessions")
    _bars(
        table,
        alt.X("clicks:O", title=f"clicks ({_LONGEST}: or more)", axis=alt.Axis(labelAngle=0)),
        alt.Y("sessions:Q"),
        "How many sessions have how many clicks.",
    )


def _days(sessions: pd.DataFrame) -> None:
    st.subheader("Sessions by day")
    table = sessions.groupby("day").size().reset_index(name="sessions")
    _bars(table, alt.X("day:T", title=None), alt.Y("sessions:Q"), "Sessions on each day.")


def _weekdays(sessions: pd.DataFrame) -> None:
    st.subheader("Sessions by day of the week")
    days = pd.to_datetime(sessions["day"])
    # A mean over the days: five months do not have each weekday equally often.
    table = (
        sessions.groupby([days.dt.day_of_week.rename("number"), days.dt.day_name().rename("weekday"), "day"])
        .size()
        .groupby(level=["number", "weekday"])
        .mean()
        .reset_index(name="sessions a day")
    )
    _bars(
        table,
        alt.X("weekday:N", sort=alt.SortField("number"), title=None, axis=alt.Axis(labelAngle=0)),
        alt.Y("sessions a day:Q"),
        "Mean number of sessions on each day of the week.",
    )


def _countries(tables: DatasetTables) -> None:
    st.subheader("Countries")
    counts = tables.clicks.groupby("country")["session"].nunique().sort_values(ascending=False)
    top = counts.head(_MOST_COUNTRIES)
    table = top.rename_axis("country").reset_index(name="sessions").astype({"country": str})
    _bars(
        table,
        alt.X("sessions:Q", scale=alt.Scale(type="symlog")),
        alt.Y("country:N", sort="-x", title="code in the file", axis=alt.Axis(labelOverlap=False)),
        "Sessions from the countries with most of them.",
    )
    st.caption(
        "The scale is logarithmic: one country has most of the sessions. The codes are those of the dataset."
    )


def _categories(tables: DatasetTables) -> None:
    st.subheader("Clicks by category")
    table = tables.clicks["category"].value_counts().rename_axis("category").reset_index(name="clicks")
    _bars(table, alt.X("clicks:Q"), alt.Y("category:N", sort="-x", title=None), "Clicks on each category.")


def _prices(tables: DatasetTables) -> None:
    st.subheader("Prices of the products clicked")
    table = tables.clicks["price"].round(-1).value_counts().sort_index()
    _bars(
        table.rename_axis("price").reset_index(name="clicks"),
        alt.X("price:O", title="US dollars, to the nearest ten", axis=alt.Axis(labelAngle=0)),
        alt.Y("clicks:Q"),
        "Clicks on products of about each price.",
    )


def _paths(tables: DatasetTables) -> None:
    st.subheader("Paths between categories")
    table = paths(tables.clicks)
    base = alt.Chart(table).encode(
        x=alt.X("next:N", title="next click", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("category:N", title="this click"),
        tooltip=["category", "next", "clicks", alt.Tooltip("share:Q", format=".1%")],
    )
    heat = base.mark_rect().encode(
        color=alt.Color(
            "share:Q", scale=alt.Scale(scheme="blues", domain=[0, 1]), legend=alt.Legend(format="%")
        )
    )
    words = base.mark_text().encode(
        text=alt.Text("share:Q", format=".0%"),
        color=alt.condition("datum.share > 0.5", alt.value("white"), alt.value("black")),
    )
    theme.chart(heat + words, "Which category follows which, as a table of shares.")
    st.caption(
        "Of the clicks in a row, the share that a click in the column follows. (leaves): it was the last one."
    )


def _products(tables: DatasetTables) -> None:
    st.subheader("Products")
    clicks = tables.clicks
    table = (
        clicks.groupby("product")
        .agg(clicks=("price", "size"), category=("category", "first"), price=("price", "mean"))
        .sort_values("clicks", ascending=False)
        .head(_MOST_PRODUCTS)
        .reset_index()
    )
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        column_config={
            "clicks": st.column_config.ProgressColumn(
                format="localized", max_value=int(table["clicks"].max())
            ),
            "price": st.column_config.NumberColumn("mean price", format="dollar"),
        },
    )
    st.caption(f"The {_MOST_PRODUCTS} most clicked of {theme.count(clicks['product'].nunique())}.")


def _conversion(sessions: pd.DataFrame) -> None:
    st.subheader("Conversion by feature")
    name = st.selectbox("Feature", list(_FEATURES), format_func=_FEATURES.__getitem__)
    table = conversion_by(sessions, name)
    rate = alt.Chart(table).encode(
        x=alt.X("value:O", sort=alt.SortField("order"), title=_FEATURES[name], axis=alt.Axis(labelAngle=0)),
        y=alt.Y("conversion:Q", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
        tooltip=["value", "sessions", alt.Tooltip("conversion:Q", format=".1%")],
    )
    mean = alt.Chart(pd.DataFrame({"mean": [sessions["converted"].mean()]})).mark_rule(
        strokeDash=[4, 4], color=_MEAN
    )
    bars = rate.mark_bar(color=_BAR)
    theme.chart(
        bars + mean.encode(y=alt.Y("mean:Q", title="share that converts")),
        "Share of sessions that convert, by the value of the feature.",
    )
    st.caption(
        "Share of sessions that convert by the proxy; the dashed line is the mean. Features over all clicks,"
        " as the premium share and the deepest page, hold the last click: partly they are the rule itself."
    )
