"""Windows: event time, pure."""
