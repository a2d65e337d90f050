"""Records: what the topics carry."""
