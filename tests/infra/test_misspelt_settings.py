"""Variables of the environment that are no settings: which of them end a command."""

from __future__ import annotations

import pytest

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.settings import load_settings


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("CLICKSTREAM_KAFKA_SASL_PASWORD", "CLICKSTREAM_KAFKA_PASSWORD"),
        ("CLICKSTREAM_KAFKA_SECURITY_PROTOCL", "CLICKSTREAM_KAFKA_SECURITY_PROTOCOL"),
        ("CLICKSTREAM_BUNDLE_KEY_FLIE", "CLICKSTREAM_BUNDLE_KEY_FILE"),
        ("clickstream_dashboard_readonly", "CLICKSTREAM_DASHBOARD_READ_ONLY"),
    ],
)
def test_a_misspelt_setting_that_protects_is_refused_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, "sesame")
    with pytest.raises(ConfigurationError, match=f"{variable} is no setting.*{meant}") as refused:
        load_settings()
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    "variable",
    ["KAFKA_PORT", "REDIS_SERVICE_PORT", "REDIS_SERVICE_PORT_REDIS", "LOOKUP_PORT_8000_TCP_ADDR", "REDIS_UR"],
)
def test_what_kubernetes_says_of_services_and_what_protects_nothing_is_no_reason_to_end(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(f"CLICKSTREAM_{variable}", "tcp://10.0.0.1:1")
    load_settings()
