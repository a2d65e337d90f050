"""Who looks at the pages, where a proxy before the dashboard makes people log in, by OpenID Connect or else.

The proxy names the person in a header, and proves by a secret in another one that it is the proxy. Whoever
comes without both is shown nothing. Without such a proxy set, nobody has a name: whoever is on this machine
may promote, and from others nobody.
"""

from __future__ import annotations

import hmac
import time
from typing import Any, NamedTuple

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from clickstream.infra.errors import ConfigurationError, RefusedError
from clickstream.infra.reach import LOOPBACK
from clickstream.infra.secrets import secret_bytes
from clickstream.infra.settings import Settings

SECRET_HEADER = "X-Clickstream-Proxy-Secret"

_LONGEST = 200


class Visitor(NamedTuple):
    """Who looks.

    Attributes:
        name: None where there is no login.
        may_promote: whether this person may promote and roll back.
        too_long_ago: this person might, had the login been asked since `dashboard_login_lasts`.
    """

    name: str | None
    may_promote: bool
    too_long_ago: bool = False


def check_login(settings: Settings, host: str) -> None:
    """Whether the settings of a login hold on this address.

    Raises:
        ConfigurationError: beyond this machine, anybody could promote, or name himself.
    """
    if settings.dashboard_user_header is None:
        if settings.dashboard_promoters or _proof_of(settings) is not None:
            raise ConfigurationError(
                "dashboard_promoters or dashboard_proxy_secret without dashboard_user_header: nobody has"
                " a name",
                "Set CLICKSTREAM_DASHBOARD_USER_HEADER to the header in which your proxy names a person.",
            )
        # The names that are let in are no password: who is no browser sends the one that he likes.
        if host not in LOOPBACK and not settings.dashboard_read_only:
            raise ConfigurationError(
                f"on {host} anybody who reaches the port could promote models",
                "Give --read-only; or have a proxy log people in, and set CLICKSTREAM_DASHBOARD_USER_HEADER"
                " (docs/dashboard.md#login); or keep to 127.0.0.1.",
            )
    elif _proof_of(settings) is None and host not in LOOPBACK:
        raise ConfigurationError(
            f"on {host} anybody could send {settings.dashboard_user_header}, and be whom he likes",
            f"Set CLICKSTREAM_DASHBOARD_PROXY_SECRET, and have your proxy send it as {SECRET_HEADER}; or"
            " listen on 127.0.0.1, where the proxy is.",
        )


def _proof_of(settings: Settings) -> bytes | None:
    """What the proxy shows that it is the proxy, if it has to."""
    return secret_bytes(settings, "dashboard_proxy_secret")


def visitor(settings: Settings) -> Visitor:
    """Who looks at this page, by the headers of the request that opened its web socket.

    The proxy is asked at that request alone, which a tab may outlive by days: whoever lost the right to log
    in meanwhile must not promote.

    Raises:
        RefusedError: it did not come through the proxy, or names nobody.
    """
    if settings.dashboard_user_header is None:
        return Visitor(None, not settings.dashboard_read_only)
    headers = st.context.headers
    expected, proof = _proof_of(settings), headers.get(SECRET_HEADER, "")
    if expected is not None and not hmac.compare_digest(proof.encode(), expected):
        raise RefusedError(
            "this page was not asked for through the login", "Open the address of the login, not this one."
        )
    # A header that came twice was also sent by somebody who hoped to be believed.
    named = headers.get_all(settings.dashboard_user_header)
    name = named[0].strip() if len(named) == 1 else ""
    if not name or len(name) > _LONGEST or not name.isprintable():
        raise RefusedError(
            f"nobody is logged in: the proxy named no person in {settings.dashboard_user_header}",
            "Log in; whoever runs the proxy has it send that header once, and drop what browsers send.",
        )
    named_promoter = name in promoters(settings) and not settings.dashboard_read_only
    fresh = _open_for_s() * 1_000 <= settings.dashboard_login_lasts
    return Visitor(name, named_promoter and fresh, named_promoter and not fresh)


def _open_for_s() -> float:
    """Age of this page's web socket, s; without end where it is closed.

    Streamlit has no public name for it. Counted from the first run of the page, a socket that was opened
    and kept silent would never be too old.
    """
    context = get_script_run_ctx()
    sessions: Any = runtime.get_instance()._session_mgr
    opened = None if context is None else sessions._session_connect_times.get(context.session_id)
    return float("inf") if opened is None else time.monotonic() - opened


def promoters(settings: Settings) -> frozenset[str]:
    """Who may promote, by the names that the proxy gives."""
    return frozenset(filter(None, (name.strip() for name in settings.dashboard_promoters.split(","))))
