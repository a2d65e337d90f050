"""A file scored as the stream is: the same fold, the same rules, the same models. Never prints, never
writes to disk but through `write_…`.
"""

from clickstream.offline.scoring import FileScores, ScoringProgress, UnseenValues, score_file
from clickstream.offline.sessions import Sessions, columns_of
from clickstream.offline.trace import SessionTrace, TracedClick, trace_session
from clickstream.offline.writing import FileFormat, as_bytes, require, write_refused, write_sessions

__all__ = [
    "FileFormat",
    "FileScores",
    "ScoringProgress",
    "SessionTrace",
    "Sessions",
    "TracedClick",
    "UnseenValues",
    "as_bytes",
    "columns_of",
    "require",
    "score_file",
    "trace_session",
    "write_refused",
    "write_sessions",
]
