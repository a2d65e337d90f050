"""Kafka and Valkey in containers, with the images and the settings of docker-compose.yml."""

from __future__ import annotations

from composed import environment, services
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import ExecWaitStrategy, LogMessageWaitStrategy

from clickstream.local.child import HOST, free_port

_START_S = 180


class KafkaContainer(DockerContainer):
    """One Kafka node on a free port of the host."""

    def __init__(self) -> None:
        super().__init__(services()["kafka"]["image"])
        # A broker tells its clients its address, so the port is chosen before the start.
        self.bootstrap = f"{HOST}:{free_port()}"
        self.with_bind_ports(19_092, int(self.bootstrap.rpartition(":")[2]))
        self.with_envs(**environment("kafka"))
        self.with_env("KAFKA_ADVERTISED_LISTENERS", f"BROKER://localhost:9092,HOST://{self.bootstrap}")
        # In memory, and the node's own: as in the file.
        for mount in services()["kafka"]["tmpfs"]:
            folder, _, options = mount.partition(":")
            self.tmpfs[folder] = options
        self.waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(_START_S))


class ValkeyContainer(DockerContainer):
    """One Valkey on a free port of the host."""

    def __init__(self) -> None:
        service = services()["valkey"]
        super().__init__(service["image"])
        port = free_port()
        self.url = f"redis://{HOST}:{port}/0"
        self.with_bind_ports(6_379, port)
        self.with_command(service["command"])
        check = ["sh", "-c", service["healthcheck"]["test"][1]]
        self.waiting_for(ExecWaitStrategy(check).with_startup_timeout(_START_S))
