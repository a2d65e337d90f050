"""`deploy/nginx/clickstream.conf` on a real nginx, where there is one, in front of servers of the tests."""

from __future__ import annotations

import base64
import getpass
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Authority
from shop import wait_for

from clickstream.local.child import HOST, free_port
from clickstream.operate.doctor.x509 import served_certificate

LOOKUP, DASHBOARD = "lookup.shop.example", "dashboard.shop.example"
USER, PASSWORD = "ben@shop.test", "sesame"

_FILE = Path(__file__).parents[1] / "deploy/nginx/clickstream.conf"
_FOLDER = "/etc/nginx/clickstream"

# Of a user who is not root the path lacks where Debian puts it.
_NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")

needs_nginx = pytest.mark.skipif(
    _NGINX is None, reason="there is no nginx on this machine; .ci/run installs it"
)


@contextmanager
def nginx(
    folder: Path, authority: Authority, secret: str = "", lookup: int = 1, dashboard: int = 1
) -> Iterator[int]:
    """The port on which it listens, before a look-up and a dashboard on two others."""
    folder.mkdir()
    shown = authority.issue("nginx")
    shutil.copy(shown.certificate, folder / "certificate.pem")
    shutil.copy(shown.key, folder / "key.pem")
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    (folder / "users").write_text(f"{USER}:{{SHA}}{digest}\n")
    (folder / "secret.conf").write_text(f'proxy_set_header X-Clickstream-Proxy-Secret "{secret}";\n')
    port = free_port()
    ours = _FILE.read_text().replace(_FOLDER, str(folder)).replace("listen 443", f"listen {HOST}:{port}")
    ours = ours.replace("127.0.0.1:8700", f"{HOST}:{lookup}").replace("127.0.0.1:8501", f"{HOST}:{dashboard}")
    kept = "".join(
        f"  {name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nuser {getpass.getuser()};\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\n  access_log off;\n{kept}{ours}}}\n"
    )
    process = subprocess.Popen([str(_NGINX), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"])
    try:
        wait_for(lambda: served_certificate(HOST, port, 1.0) is not None, "nginx answers", 20)
        yield port
    finally:
        process.terminate()
        process.wait(20)
