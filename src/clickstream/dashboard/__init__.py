"""The dashboard: Streamlit pages over the same functions as the command line. Imports Streamlit, which is in
the extra `dashboard`; nothing outside of this folder does.
"""
