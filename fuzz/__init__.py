"""Fuzzing of everything that comes from outside: `python -m fuzz TARGET --seconds 60`, `make fuzz`.

A target is a file of `targets/` with a function `check` of bytes. What it raises is a finding: it passes
over the refusals that are documented, and states what must hold of what is taken. `corpus/` has some inputs
for each to begin with; what was found once stays there.
"""
