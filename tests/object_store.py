"""A real S3-compatible server in a process of its own, which a test may stop, freeze and wake."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3

from clickstream.local.child import HOST, free_port

BUCKET = "bundles"

_SERVE = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple(sys.argv[1], int(sys.argv[2]), DomainDispatcherApplication(create_backend_app), threaded=True)
"""


class ObjectStore:
    """The server, and the variables by which programs find it."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.environment = {
            "AWS_ENDPOINT_URL_S3": f"http://{HOST}:{self.port}",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "something",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVE, HOST, str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | self.environment,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((HOST, self.port), 1).close()
                break
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(log.read_text()) from None
                time.sleep(0.05)
        self.client.create_bucket(Bucket=BUCKET)

    @property
    def client(self) -> Any:
        """A client that looks into it, past our own code."""
        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id="somebody",
            aws_secret_access_key="something",
            region_name="us-east-1",
        )

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and answers nothing, until the block ends."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @contextmanager
    def denying(self) -> Iterator[None]:
        """It knows nobody's credentials, until the block ends."""
        before = self._take_unchecked("0")
        try:
            yield
        finally:
            self._take_unchecked(before)

    def _take_unchecked(self, requests: str) -> str:
        """Let so many requests pass before credentials are looked at; how many it was."""
        url = f"http://{HOST}:{self.port}/moto-api/reset-auth"
        with urlopen(Request(url, requests.encode(), {"Content-Type": "text/plain"})) as answer:
            return str(json.load(answer)["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"])

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
