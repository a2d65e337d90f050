"""Behind a login: who is shown a page, and who may promote, on the real server."""

from __future__ import annotations

import shutil
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection
from ssl import create_default_context
from typing import Any

import pytest
from certificates import Authority
from nginx import DASHBOARD, PASSWORD, USER, needs_nginx, nginx
from pydantic import SecretStr
from shop import wait_for
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from clickstream.bundles.champion import promote
from clickstream.dashboard.login import SECRET_HEADER, check_login
from clickstream.infra.errors import ConfigurationError
from clickstream.infra.settings import Settings
from clickstream.local.child import HOST, free_port
from clickstream.local.processes import Process

SECRET = "s" * 40
LOOK_ONLY = "CLICKSTREAM_DASHBOARD_PROMOTERS does not name you"


class Page:
    """Gives all texts of the page of models, as it is sent to who comes with these headers."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, *headers: tuple[str, str], **way: Any) -> str:
        """`way`: what the client is told beside the headers, where it does not come to the port itself."""
        address = DASHBOARD if way else f"{HOST}:{self.port}"
        with connect(
            f"{'wss' if way else 'ws'}://{address}/_stcore/stream",
            additional_headers=headers,
            subprotocols=["streamlit"],  # type: ignore[list-item]
            max_size=None,
            **way,
        ) as socket:
            asked = BackMsg()
            asked.rerun_script.page_name = "models"
            socket.send(asked.SerializeToString())
            texts = ""
            while True:
                message = ForwardMsg()
                message.ParseFromString(socket.recv(timeout=90))
                texts += str(message)
                if message.HasField("script_finished"):
                    return texts


@contextmanager
def dashboard(bundle: Path, home: Path, **changed: object) -> Iterator[Page]:
    """Behind a login, with this bundle in use; `changed`: settings of its own."""
    folder = home / "bundles"
    shutil.copytree(bundle, folder / bundle.name)
    promote(folder, bundle.name)
    port = free_port()
    settings = Settings(
        home=home,
        dashboard_user_header="X-Forwarded-Email",
        dashboard_proxy_secret=SecretStr(SECRET),
        dashboard_promoters="anna@shop.test, ben@shop.test",
    )
    process = Process(
        ["dashboard", "--port", str(port), "--allow-host", DASHBOARD],
        settings.model_copy(update=changed),
        home / "log",
    )

    def answers() -> bool:
        assert process.poll() is None, process.last_words()
        try:
            connect(f"ws://{HOST}:{port}/_stcore/stream", subprotocols=["streamlit"]).close()  # type: ignore[list-item]
        except OSError:
            return False
        return True

    try:
        wait_for(answers, "the dashboard answers")
        yield Page(port)
    finally:
        process.stop()


@pytest.fixture(scope="module")
def models(synthetic_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with dashboard(synthetic_bundle, tmp_path_factory.mktemp("home")) as page:
        yield page


def named(name: str) -> tuple[str, str]:
    return "X-Forwarded-Email", name


PROOF = SECRET_HEADER, SECRET


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ((), "not asked for through the login"),
        ((named("anna@shop.test"),), "not asked for through the login"),
        ((named("anna@shop.test"), (SECRET_HEADER, "x" * 40)), "not asked for through the login"),
        ((named("anna@shop.test"), (SECRET_HEADER, "\xe9")), "not asked for through the login"),
        ((PROOF,), "nobody is logged in"),
        ((PROOF, named(" ")), "nobody is logged in"),
        ((PROOF, named("eve@shop.test"), named("anna@shop.test")), "nobody is logged in"),
    ],
)
def test_whoever_does_not_come_through_the_proxy_is_shown_nothing(
    models: Page, synthetic_bundle: Path, headers: tuple[tuple[str, str], ...], said: str
) -> None:
    texts = models(*headers)
    assert said in texts
    assert synthetic_bundle.name not in texts
    assert "Models" not in texts


def test_who_is_logged_in_looks_and_who_is_named_promotes(models: Page, synthetic_bundle: Path) -> None:
    looking = models(PROOF, named("carl@shop.test"))
    assert synthetic_bundle.name in looking
    assert LOOK_ONLY in looking
    assert "Bundle to put in use" not in looking
    assert "Roll back" not in looking
    promoting = models(PROOF, named("ben@shop.test"))
    assert synthetic_bundle.name in promoting
    assert LOOK_ONLY not in promoting
    assert "Roll back" in promoting


def test_who_logged_in_too_long_ago_looks_and_promotes_after_another_login(
    synthetic_bundle: Path, tmp_path: Path
) -> None:
    with dashboard(synthetic_bundle, tmp_path, dashboard_login_lasts=1) as models:
        texts = models(PROOF, named("ben@shop.test"))
    assert synthetic_bundle.name in texts
    assert "logged in more than 1ms ago: reload the page" in texts
    assert "Roll back" not in texts


@needs_nginx
def test_behind_nginx_who_logs_in_has_that_name_and_no_other(
    models: Page, synthetic_bundle: Path, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "certificates")
    tls = create_default_context(cafile=str(authority.file))
    login = "Authorization", "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with nginx(tmp_path / "nginx", authority, SECRET, dashboard=models.port) as port:

        def through(*headers: tuple[str, str]) -> str:
            sock = create_connection((HOST, port))
            return models(*headers, sock=sock, ssl=tls, server_hostname=HOST, origin=f"https://{DASHBOARD}")

        with pytest.raises(InvalidStatus, match="401"):
            through()
        with pytest.raises(InvalidStatus, match="401"):
            through(PROOF, named(USER))
        # What a browser sends under the name of the header is dropped.
        seen = through(login, named("anna@shop.test"), (SECRET_HEADER, "x"))
    assert synthetic_bundle.name in seen
    assert "Roll back" in seen


@pytest.mark.parametrize(
    ("changed", "host", "said"),
    [
        ({}, "0.0.0.0", "anybody who reaches the port could promote"),
        ({}, "shop.example", "anybody who reaches the port could promote"),
        ({"dashboard_user_header": "X-User"}, "0.0.0.0", "anybody could send X-User"),
        ({"dashboard_promoters": "anna"}, "127.0.0.1", "nobody has a name"),
        ({"dashboard_proxy_secret": SecretStr(SECRET)}, "127.0.0.1", "nobody has a name"),
    ],
)
def test_a_login_that_cannot_hold_is_refused_at_the_start(
    changed: dict[str, object], host: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        check_login(Settings(home=tmp_path).model_copy(update=changed), host)


@pytest.mark.parametrize(
    ("changed", "host"),
    [
        ({}, "127.0.0.1"),
        ({"dashboard_user_header": "X-User"}, "127.0.0.1"),
        ({"dashboard_read_only": True}, "0.0.0.0"),
        ({"dashboard_user_header": "X-User", "dashboard_proxy_secret": SecretStr(SECRET)}, "0.0.0.0"),
    ],
)
def test_on_this_machine_for_reading_and_behind_a_login_it_starts(
    changed: dict[str, object], host: str, tmp_path: Path
) -> None:
    check_login(Settings(home=tmp_path).model_copy(update=changed), host)


def test_the_secret_of_the_proxy_may_lie_in_a_file_and_a_short_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    named = {"dashboard_user_header": "X-User", "dashboard_proxy_secret_file": file}
    settings = Settings(home=tmp_path).model_copy(update=named)
    file.write_text(SECRET + "\n")
    check_login(settings, "0.0.0.0")
    file.write_text("short")
    with pytest.raises(ConfigurationError, match="CLICKSTREAM_DASHBOARD_PROXY_SECRET_FILE"):
        check_login(settings, "0.0.0.0")
