"""The script that Streamlit runs for each browser tab, at each interaction: the frame around the pages."""

from __future__ import annotations

import streamlit as st

from clickstream.dashboard import definition, explore, live, models, score, theme
from clickstream.dashboard.login import visitor
from clickstream.features.shop import UCI553

# Drawn here: an icon by name, or an emoji, would be fetched from the internet.
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3"'
    ' fill="#2f7fd1"/><path d="M3 11l3-4 3 2 4-5" fill="none" stroke="#fff" stroke-width="1.6"/></svg>'
)


def main() -> None:
    """Show the page that the address names."""
    st.set_page_config(page_title="clickstream", page_icon=_ICON, layout="wide")
    with theme.guarded():
        visitor(theme.settings())
        _frame()


def _frame() -> None:
    pages = [
        st.Page(
            score.page, title="Score a file", icon=":material/upload_file:", url_path="score", default=True
        ),
        st.Page(live.page, title="Live", icon=":material/monitoring:", url_path="live"),
        st.Page(models.page, title="Models", icon=":material/model_training:", url_path="models"),
        st.Page(definition.page, title="Shop", icon=":material/storefront:", url_path="shop"),
    ]
    with theme.guarded():
        if theme.shop() is UCI553:
            # The dataset is that of this shop.
            pages.append(st.Page(explore.page, title="Data", icon=":material/query_stats:", url_path="data"))
    chosen = st.navigation(pages, position="top")
    with theme.guarded():
        chosen.run()


main()
