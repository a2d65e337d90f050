"""What a process tells whoever watches it: metrics and health, and both over HTTP."""
