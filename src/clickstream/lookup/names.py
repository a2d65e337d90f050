"""By which names the look-up is called: a page whose own name was bound to this address is not answered."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_REFUSAL = {
    "error": "this look-up is not called by the name in the header Host",
    "remedy": "Ask by its address, by localhost, or by a name that `serve --allow-host` gives.",
}


class AllowedNames:
    """Passes requests on whose header Host is an address, `localhost`, or one of the names.

    Any address: in the Host of a browser stands what its page was loaded from, so a page of somebody else
    comes with a name.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = {"localhost", *map(_plain, names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 400."""
        if scope["type"] != "http" or self._allowed(Headers(scope=scope).get("host", "")):
            await self._app(scope, receive, send)
        else:
            await JSONResponse(_REFUSAL, 400)(scope, receive, send)

    def _allowed(self, host: str) -> bool:
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if _plain(name) in self._names:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")
