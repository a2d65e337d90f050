"""History: years of clicks, in files, folded and scored out of core by the very fold of the stream."""
