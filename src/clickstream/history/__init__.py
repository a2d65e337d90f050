"""History: clicks of days that are over, in files, at any size."""
