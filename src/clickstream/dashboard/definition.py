"""Page *Shop*: what the shop that is set says: fields, features, goal."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from clickstream.dashboard import theme
from clickstream.features.words import feature_in_words, field_in_words, goal_in_words
from clickstream.records.shops import shop_file


def page() -> None:
    """Show the definition of the shop in words."""
    st.header("Shop")
    shop = theme.shop()
    definition = shop.definition
    theme.words(f"{definition.name} · {definition.hash}")
    st.subheader("What a conversion is")
    theme.words(goal_in_words(definition))
    st.subheader("Fields of a click")
    fields = [(one.name, field_in_words(one), one.about) for one in definition.fields]
    st.dataframe(
        pd.DataFrame(fields, columns=["field", "may hold", "about"]),
        hide_index=True,
        width="stretch",
        alt="The fields of a click",
    )
    st.subheader("Features of a session")
    features = [
        (one.name, feature_in_words(one), one.name in definition.clustered, one.in_scores)
        for one in definition.features
    ]
    st.dataframe(
        pd.DataFrame(features, columns=["feature", "is", "clusters look at it", "in scores"]),
        hide_index=True,
        width="stretch",
        height=min(38 + 35 * len(features), 640),
        alt="The features of a session",
    )
    st.download_button(
        "shop.toml",
        shop_file(theme.settings().shop),
        "shop.toml",
        "application/toml",
        icon=":material/download:",
    )
