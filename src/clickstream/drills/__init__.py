"""Chaos: faults, one after the other, on a system under load, and an audit of what it made of them."""
