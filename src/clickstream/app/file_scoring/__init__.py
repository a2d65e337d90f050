"""A file scored as the stream is: the same fold, the same rules, the same models. Never prints, never
writes to disk but through `write_…`.
"""

from clickstream.app.file_scoring.scoring import FileScores, Progress, Unknown, score_file
from clickstream.app.file_scoring.sessions import COLUMNS, Sessions
from clickstream.app.file_scoring.story import Story, StoryClick, tell_story
from clickstream.app.file_scoring.writing import Format, as_bytes, require, write_refused, write_sessions

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
