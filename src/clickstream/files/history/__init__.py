"""History: logs of any size, read by DuckDB within a bound of memory, as sorted batches of clicks."""

from clickstream.files.history.buckets import ClickBuckets, RefusedExample, RefusedRows
from clickstream.files.history.partition import NoClicksError, open_clicks

__all__ = ["ClickBuckets", "NoClicksError", "RefusedExample", "RefusedRows", "open_clicks"]
