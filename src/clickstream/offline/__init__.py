"""A file scored as the stream is: the same fold, the same rules, the same models. Never prints, never
writes to disk but through `write_…`.
"""
