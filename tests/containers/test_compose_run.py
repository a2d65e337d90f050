"""docker-compose.yml, run for real: up, healthy, everything scored once, crashes, more consumers, gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import orjson
import pytest
from composed import environment, queries, services
from shop import wait_for

from clickstream.infra.kafka import Reader
from clickstream.infra.settings import Settings
from clickstream.local.child import HOST
from containers.stack import Stack

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1_800)]

SYNTHETIC = 2_000
ENDED = {"topics", "training"}
KILL = (
    "import os, signal\n"
    "from pathlib import Path\n"
    "for file in Path('/proc').glob('[0-9]*/cmdline'):\n"
    "    if 'consume' in file.read_text().split(chr(0)):\n"
    "        os.kill(int(file.parent.name), signal.SIGKILL)\n"
)


@pytest.fixture(scope="module", autouse=True)
def _asked_for(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--servers") != "containers":
        pytest.skip("needs Docker: make test-containers")


@pytest.fixture(scope="module")
def stack(_asked_for: None) -> Iterator[Stack]:
    """Everything but the profiles; the dataset of CLICKSTREAM_DATA, else a few synthetic sessions."""
    Stack().compose("build")
    # Ports that are free are chosen after the minutes of the build.
    stack = Stack(SYNTHETIC_SESSIONS=str(SYNTHETIC), REPLAY_SPEED="max")
    try:
        stack.up()
        yield stack
    finally:
        stack.compose("--profile", "*", "down", "--volumes", "--remove-orphans")
        assert stack.left() == []


def audit(stack: Stack) -> dict[str, Any]:
    """The report of `scores audit`; raises unless it is clean."""
    report: dict[str, Any] = orjson.loads(stack.clickstream("scores", "audit", "--json"))
    return report


def audit_of_all(stack: Stack) -> dict[str, Any]:
    """The same, once all that was sent is scored."""
    reports: list[dict[str, Any]] = []

    def complete() -> bool:
        reports.append(audit(stack))
        return reports[-1]["scored"] > 0 and not (reports[-1]["pending"] or reports[-1]["open"])

    replayed(stack)
    wait_for(complete, "everything is scored", 300)
    return reports[-1]


def replayed(stack: Stack) -> None:
    wait_for(
        lambda: re.search(r"sent \d+ clicks|is complete on", stack.compose("logs", "replay")) is not None,
        "the replay is complete",
        300,
    )


def asked(stack: Stack, container: str, *words: str) -> str:
    """Output of a command in a running container, given by service, or service and number."""
    service, _, number = container.partition("/")
    return stack.compose("exec", "-T", "--index", number or "1", service, *words).strip()


def test_the_file_is_valid_with_every_profile() -> None:
    whole = Stack().compose("--profile", "*", "config", "--format", "json")
    assert orjson.loads(whole)["services"].keys() == services().keys()


def test_every_service_is_healthy_or_has_done_its_work(stack: Stack) -> None:
    containers = stack.containers()
    by_hand = {name for name, service in services().items() if "profiles" in service}
    assert {one["Service"] for one in containers} == services().keys() - by_hand
    assert len(stack.ids("consumer")) == 2
    for one in containers:
        if one["Service"] in ENDED:
            assert (one["State"], one["ExitCode"]) == ("exited", 0), one
        else:
            expected = "healthy" if "healthcheck" in services()[one["Service"]] else ""
            assert (one["State"], one["Health"]) == ("running", expected), one


def test_every_session_is_scored_once(stack: Stack) -> None:
    report = audit_of_all(stack)
    assert report["clean"]
    assert report["scored"] == report["windows"] >= SYNTHETIC
    assert report["predictions_checked"] == report["scored"]


def test_a_subscriber_on_the_host_reads_the_scores(stack: Stack) -> None:
    scored = audit_of_all(stack)["scored"]
    reader = Reader(Settings(kafka_bootstrap=stack.bootstrap), "scores")
    try:
        records = sum(len(batch) for batch in reader.read_to(reader.decided_ends().offsets))
    finally:
        reader.close()
    assert records == scored


def test_the_dashboard_is_there_for_the_host(stack: Stack) -> None:
    with urlopen(f"http://{HOST}:{stack.ports['DASHBOARD_PORT']}/_stcore/health", timeout=10) as answer:
        assert answer.read() == b"ok"


def test_the_look_up_answers_the_host_with_the_token_alone(stack: Stack) -> None:
    url = f"http://{HOST}:{stack.ports['LOOKUP_PORT']}/v1/sessions?limit=1"
    with pytest.raises(HTTPError, match="401"):
        urlopen(url, timeout=10)
    token = environment("lookup")["CLICKSTREAM_LOOKUP_TOKEN"]
    headers = {"Authorization": f"Bearer {token}"}
    with pytest.raises(HTTPError, match="400"):
        urlopen(Request(url, headers=headers | {"Host": "evil.example"}), timeout=10)
    with urlopen(Request(url, headers=headers), timeout=10) as answer:
        assert orjson.loads(answer.read()).keys() == {"sessions", "open", "considered"}


@pytest.mark.parametrize("service", ["consumer", "dashboard", "lookup", "kafka", "valkey"])
def test_a_container_is_nobody_and_changes_nothing(stack: Stack, service: str) -> None:
    assert asked(stack, service, "id", "-u") == services()[service]["user"].split(":")[0]
    tried = asked(stack, service, "sh", "-c", "touch /etc/x /opt/x 2>/dev/null && echo done || echo refused")
    assert tried == "refused"
    status = asked(stack, service, "sh", "-c", "grep CapEff /proc/self/status")
    assert int(status.split()[1], 16) == 0


def test_up_again_changes_nothing_and_ends_well(stack: Stack) -> None:
    before = {one["ID"] for one in stack.containers()}
    bundle = stack.clickstream("models", "list", "--json")
    stack.up()
    assert {one["ID"] for one in stack.containers()} == before
    assert stack.clickstream("models", "list", "--json") == bundle


def test_a_third_consumer_takes_its_share(stack: Stack) -> None:
    stack.up("--scale", "consumer=3")
    assert len(stack.ids("consumer")) == 3
    script = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9100/readyz').read().decode())"

    def shares() -> list[int]:
        answers = [orjson.loads(asked(stack, f"consumer/{n}", "python", "-c", script)) for n in (1, 2, 3)]
        return [len(answer["partitions"]) for answer in answers]

    wait_for(lambda: sum(shares()) == 8 and min(shares()) >= 2, "eight partitions are shared by three", 120)
    before = audit_of_all(stack)["scored"]
    stack.clickstream("replay", "--or-synthetic", str(SYNTHETIC), "--append", "--speed", "max")
    report = audit_of_all(stack)
    assert report["clean"]
    assert report["scored"] > before


def test_prometheus_finds_every_consumer(stack: Stack) -> None:
    if not stack.has("prometheus"):
        pytest.skip("its image is not to be had here")
    stack.compose("--profile", "observe", "up", "--wait", "--no-deps", "--no-recreate", "prometheus")
    where = f"http://{HOST}:{stack.ports['PROMETHEUS_PORT']}/api/v1"

    def asked_for(path: str) -> Any:
        with urlopen(f"{where}/{path}", timeout=10) as answer:
            return orjson.loads(answer.read())["data"]

    def up() -> list[str]:
        found = asked_for("query?query=up%7Bjob%3D%22clickstream%22%7D")["result"]
        return [sample["value"][1] for sample in found]

    def unanswered() -> list[str]:
        found = [query for query in queries("1m") if not asked_for(f"query?query={quote(query)}")["result"]]
        # Nothing is open, so there is no watermark to be behind.
        return [query for query in found if "watermark_lag" not in query]

    wait_for(lambda: up() == ["1"] * len(stack.ids("consumer")), "it has asked every consumer", 120)
    wait_for(lambda: not unanswered(), "every panel of the dashboard has something to show", 120)
    rules = [rule for group in asked_for("rules")["groups"] for rule in group["rules"]]
    assert rules
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


def test_kafka_killed_under_load_comes_back_whole(stack: Stack) -> None:
    """The end of a transaction that was acknowledged is not lost: see deploy/kafka/start."""
    before = audit_of_all(stack)["scored"]
    stack.clickstream("replay", "--or-synthetic", str(SYNTHETIC), "--append", "--speed", "max")
    stack.compose("kill", "kafka")
    stack.up("--scale", "consumer=3")
    report = audit_of_all(stack)
    assert report["clean"]
    assert report["scored"] > before
    assert "Recording that the broker of the last run is gone" in stack.compose("logs", "kafka")


def test_a_killed_consumer_is_started_again_under_its_name(stack: Stack) -> None:
    before = stack.restarts("consumer")
    # From within: Docker does not start again what `docker kill` has ended.
    asked(stack, "consumer/1", "python", "-c", KILL)
    wait_for(lambda: sum(stack.restarts("consumer").values()) == 1, "it was started again")
    stack.up("--scale", "consumer=3")
    assert stack.restarts("consumer").keys() == before.keys()
    assert audit_of_all(stack)["clean"]
