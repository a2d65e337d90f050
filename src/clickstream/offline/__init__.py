"""A file scored as the stream is: the same fold, the same rules, the same models. Never prints, never
writes to disk but through `write_…`.
"""

from clickstream.offline.scoring import FileScores, Progress, Unknown, score_file
from clickstream.offline.sessions import COLUMNS, Sessions
from clickstream.offline.story import Story, StoryClick, tell_story
from clickstream.offline.writing import Format, as_bytes, require, write_refused, write_sessions

__all__ = [
    "COLUMNS",
    "FileScores",
    "Format",
    "Progress",
    "Sessions",
    "Story",
    "StoryClick",
    "Unknown",
    "as_bytes",
    "require",
    "score_file",
    "tell_story",
    "write_refused",
    "write_sessions",
]
