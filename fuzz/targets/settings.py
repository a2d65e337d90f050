"""The environment: variables `CLICKSTREAM_…`, a line `NAME=value` each, give settings or words about what
is wrong.
"""

from __future__ import annotations

import os
from unittest.mock import patch

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.settings import as_environment, load_settings, unknown_variables
from clickstream.windows.fingerprint import fingerprint, rules_of
from fuzz.contract import refusing


def check(data: bytes) -> None:
    """Read the settings of one environment."""
    # What the system would not take as a variable does not come from there.
    lines = [line.partition(b"=") for line in data.replace(b"\0", b"").split(b"\n")]
    variables = {os.fsdecode(b"CLICKSTREAM_" + name): os.fsdecode(value) for name, _, value in lines if name}
    unknown_variables(variables)
    with patch.dict(os.environ, variables, clear=True), refusing(ConfigurationError):
        # As a user has it.
        os.environ["HOME"] = "/nowhere"
        settings = load_settings()
        with patch.dict(os.environ, as_environment(settings), clear=True):
            again = load_settings()
        if as_environment(again) != as_environment(settings):
            raise AssertionError("settings that are handed on are others")
        with refusing(ConfigurationError):
            fingerprint(settings)
            rules_of(settings)
