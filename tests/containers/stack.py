"""docker-compose.yml, run under a name and on ports of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson
from composed import FILE, services

from clickstream.local.child import HOST, free_port

_PORTS = tuple(
    f"{name}_PORT" for name in ("KAFKA", "VALKEY", "DASHBOARD", "LOOKUP", "PROMETHEUS", "GRAFANA", "BROWSER")
)


class Stack:
    """One project of compose."""

    def __init__(self, **variables: str) -> None:
        self.project = f"clickstream-test-{uuid4().hex[:8]}"
        self.ports = {name: free_port() for name in _PORTS}
        self._environment = os.environ | {name: str(port) for name, port in self.ports.items()} | variables

    @property
    def bootstrap(self) -> str:
        """Kafka as the host sees it."""
        return f"{HOST}:{self.ports['KAFKA_PORT']}"

    def compose(self, *words: str, deadline_s: float = 900) -> str:
        """Standard output of `docker compose …`, which must end with 0."""
        done = subprocess.run(
            ["docker", "compose", "-f", str(FILE), "-p", self.project, *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )
        if done.returncode:
            raise AssertionError(
                f"docker compose {' '.join(words)} ended with {done.returncode}\n"
                f"{done.stdout[-4000:]}{done.stderr[-4000:]}"
            )
        return done.stdout

    def up(self, *words: str) -> None:
        """Everything runs and is healthy, or an AssertionError with what the containers said."""
        try:
            self.compose("up", "--wait", "--wait-timeout", "600", *words)
        except AssertionError:
            print(self.compose("ps", "--all"), self.compose("logs", "--tail", "30"), file=sys.stderr)
            raise

    def containers(self) -> list[Mapping[str, Any]]:
        """Service, ID, State, Health and ExitCode of each container, the ended ones too."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return [orjson.loads(line) for line in lines]

    def ids(self, service: str) -> set[str]:
        """The containers of a service."""
        return {one["ID"] for one in self.containers() if one["Service"] == service}

    def restarts(self, service: str) -> dict[str, int]:
        """How often Docker has started each container of a service again."""
        found = {}
        for container in self.ids(service):
            told = subprocess.run(
                ["docker", "inspect", "--format", "{{.RestartCount}}", container],
                capture_output=True,
                text=True,
                check=True,
            )
            found[container] = int(told.stdout)
        return found

    def clickstream(self, *words: str) -> str:
        """Standard output of a command in the consumer image."""
        return self.compose("run", "--rm", "--no-deps", "-T", "cli", *words)

    def has(self, service: str) -> bool:
        """Whether the image of a service is here, or can be fetched."""
        image = services()[service]["image"]
        return any(
            subprocess.run(["docker", *words, image], capture_output=True, check=False).returncode == 0
            for words in (("image", "inspect"), ("pull", "--quiet"))
        )

    def left(self) -> list[str]:
        """Containers, volumes and networks of this project."""
        label = f"label=com.docker.compose.project={self.project}"
        found: list[str] = []
        for words in (("ps", "--all"), ("volume", "ls"), ("network", "ls")):
            listed = subprocess.run(
                ["docker", *words, "--quiet", "--filter", label], capture_output=True, text=True, check=True
            )
            found += listed.stdout.split()
        return found
