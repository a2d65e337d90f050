"""The look-up: what is open of a session now, and what the models say of it, over HTTP."""
