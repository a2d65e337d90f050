"""History: logs of any size, read by DuckDB within a bound of memory, as sorted batches of clicks."""

from clickstream.files.history.buckets import ClickBuckets, RefusedExample, RefusedRows
from clickstream.files.history.in_sql import in_sql
from clickstream.files.history.opening import open_clicks
from clickstream.files.history.partition import NoClicksError
from clickstream.files.history.select import SelectMapping, read_select

__all__ = [
    "ClickBuckets",
    "NoClicksError",
    "RefusedExample",
    "RefusedRows",
    "SelectMapping",
    "in_sql",
    "open_clicks",
    "read_select",
]
