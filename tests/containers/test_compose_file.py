"""What docker-compose.yml and the Dockerfile promise, read without Docker."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from composed import ROOT, composed, environment, services

from clickstream.infra.settings import Settings
from clickstream.local import broker

SERVICES = services()
ENDS = {"topics", "training"}
"""They do their work and end, and others wait for that."""
BY_HAND = {"cli"}
STAYS = {"replay"}
"""Ends with an error or stays; there is nothing to ask it."""
OURS = {name for name, service in SERVICES.items() if service["image"].startswith("clickstream-")}


def bind_sources(service: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Folders of the host that a service sees, and whether for reading only."""
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            yield volume["source"], volume.get("read_only", False)
        elif volume.startswith((".", "/", "$")):
            yield volume.split(":")[0], volume.endswith(":ro")


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_a_tag_that_says_its_version(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image
    assert re.match(r"v?\d", tag), tag


@pytest.mark.parametrize("name", sorted(OURS))
def test_an_image_of_ours_has_the_version_of_the_package(name: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    suffix = "-dashboard" if name == "dashboard" else ""
    assert SERVICES[name]["image"] == f"clickstream-scoring:{version}{suffix}"


def test_an_image_of_ours_is_built_once_and_never_pulled() -> None:
    assert all(SERVICES[name]["pull_policy"] == "never" for name in OURS)
    built = {name: SERVICES[name]["build"]["target"] for name in OURS if "build" in SERVICES[name]}
    assert built == {"topics": "consumer", "dashboard": "dashboard", "cli": "consumer"}
    # Whoever starts a service starts what it needs first, and so what builds its image.
    for name in OURS - built.keys() - {"training"}:
        assert "topics" in SERVICES[name]["depends_on"], name


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    user, group = service["user"].split(":")
    assert int(user) > 0
    assert group.isdigit()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service.keys().isdisjoint({"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"})
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ENDS - BY_HAND - STAYS))
def test_what_runs_for_long_is_restarted_and_has_a_health_check(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert "start_period" in service["healthcheck"]


@pytest.mark.parametrize("name", sorted(ENDS))
def test_what_ends_is_awaited_or_up_wait_would_take_its_end_for_a_failure(name: str) -> None:
    assert "restart" not in SERVICES[name]
    conditions = [
        service["depends_on"][name]["condition"]
        for service in SERVICES.values()
        if name in service.get("depends_on", {}) and "profiles" not in service
    ]
    assert conditions
    assert set(conditions) == {"service_completed_successfully"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_the_health_of_those_that_have_one(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in ENDS else "service_healthy"
        assert wait["condition"] == expected, other


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_of_the_loopback_alone_and_can_be_moved(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port), port


def test_the_look_up_whose_token_is_published_is_called_by_its_own_name_alone() -> None:
    assert environment("lookup")["CLICKSTREAM_LOOKUP_TOKEN"].startswith("for-this-machine-alone")
    command = SERVICES["lookup"]["command"]
    names = [name for option, name in pairwise(command) if option == "--allow-host"]
    assert names == ["lookup"]


def test_the_dashboard_which_has_no_login_promotes_nothing() -> None:
    assert "--read-only" in SERVICES["dashboard"]["command"]
    assert [volume for volume in SERVICES["dashboard"]["volumes"] if str(volume).startswith("bundles:")] == [
        "bundles:/var/lib/clickstream/bundles:ro"
    ]


def test_no_two_services_take_the_same_port() -> None:
    ports = [port.split(":-")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len({port.split("}")[0] for port in ports}) == len(ports)


@pytest.mark.parametrize("name", sorted(OURS))
def test_variables_are_settings_and_their_values_are_accepted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {key: value for key, value in environment(name).items() if key.startswith("CLICKSTREAM_")}
    given.pop("CLICKSTREAM_DATA", None)
    names = {key.removeprefix("CLICKSTREAM_").lower() for key in given}
    assert names <= Settings.model_fields.keys()
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    settings = Settings()
    assert all(str(getattr(settings, each)) for each in names)


def test_settings_that_shape_sessions_are_the_same_for_all() -> None:
    rules = {f"CLICKSTREAM_{rule.upper()}" for rule in Settings().rules}
    for rule in rules:
        values = {
            environment(name).get(rule) for name in ("consumer", "replay", "lookup", "cli", "dashboard")
        }
        assert len(values) == 1, rule


def test_volumes_are_named_and_what_is_of_the_host_is_only_read() -> None:
    whole = composed()
    used = set()
    for name, service in SERVICES.items():
        for source, read_only in bind_sources(service):
            assert read_only, (name, source)
            assert source.startswith("$") or (ROOT / source).is_dir(), (name, source)
        used |= {volume.split(":")[0] for volume in service.get("volumes", []) if isinstance(volume, str)}
    assert whole["volumes"].keys() == {source for source in used if not source.startswith(".")}


def test_kafka_is_set_up_as_the_embedded_one_is() -> None:
    embedded = dict(
        line.split("=", 1) for line in broker._BROKER.splitlines() if "=" in line and not line.startswith("#")
    )
    own = {name for name in embedded if name.startswith(("advertised.", "num.", "background."))}
    given = environment("kafka")
    embedded["inter.broker.listener.name"] = "BROKER"  # One broker has no peers.
    for name in embedded.keys() - own:
        assert given["KAFKA_" + name.upper().replace(".", "_")] == embedded[name], name


def test_kafka_is_started_by_the_script_that_makes_a_crash_harmless() -> None:
    kafka = SERVICES["kafka"]
    assert kafka["command"] == ["/opt/clickstream/start"]
    assert "./deploy/kafka:/opt/clickstream:ro" in kafka["volumes"]
    assert kafka["healthcheck"]["test"] == ["CMD", "/opt/clickstream/healthy"]
    for script in ("start", "healthy"):
        assert (ROOT / "deploy" / "kafka" / script).stat().st_mode & 0o111 == 0o111


def test_images_end_with_the_user_that_compose_names() -> None:
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    for target in ("consumer", "dashboard"):
        (stage,) = (each for each in stages if each.splitlines()[0].endswith(f" AS {target}"))
        assert re.findall(r"^USER (\S+)$", stage, re.MULTILINE) == [SERVICES["consumer"]["user"]]


def test_dashboards_find_the_source_that_is_provisioned() -> None:
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    source = (folder / "datasources" / "prometheus.yml").read_text()
    assert "url: http://prometheus:9090" in source
    provider = (folder / "dashboards" / "clickstream.yml").read_text()
    place = re.findall(r"path: (\S+)", provider)
    assert any(volume.split(":")[1] == place[0] for volume in SERVICES["grafana"]["volumes"])
