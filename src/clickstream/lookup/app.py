"""The look-up over HTTP: routes, the token, and what is measured of them."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from prometheus_client import make_asgi_app
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clickstream import __version__
from clickstream.infra import logs
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.logs import logger
from clickstream.infra.secrets import secret
from clickstream.infra.settings import Settings, load_settings
from clickstream.lookup.counts import RequestCounters
from clickstream.lookup.jobs import Jobs
from clickstream.lookup.names import AllowedNames
from clickstream.lookup.service import CONSIDERED, PATIENCE_MS, Answerer, Lookup
from clickstream.lookup.views import OpenSessionsView, OpenSessionView, Refusal
from clickstream.monitoring.exposition import registry

_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "no token, or a wrong one"},
    503: {"model": Refusal, "description": "Redis is away, or holds what cannot be used; says which"},
}
_MOST = 200

SWITCH_S = 0.000_5
"""How long the thread of the models may keep the interpreter from the event loop: 5 ms are usual, at each of
several turns of a request."""

SessionIdInPath = Annotated[str, InPath(min_length=1, max_length=256)]
Chance = Annotated[float, Query(ge=0, le=1)]
Limit = Annotated[int, Query(ge=1, le=_MOST)]
HowMany = Annotated[int, Query(ge=0, le=_MOST, description="features that moved each prediction most")]


def create(counts: Path, names: Collection[str] = ()) -> FastAPI:
    """The application of one of several workers, by the settings of the environment.

    Args:
        counts: the folder in which they count together.
        names: as of `application`.
    """
    settings = load_settings()
    logs.configure(settings)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_outlive_not, args=(parent,), name="parent", daemon=True).start()
    try:
        lookup = Lookup(settings)
    except ClickstreamError as error:
        # Another is started, until one finds what this one missed.
        logger("lookup").error("worker not started", error=error.what, remedy=error.remedy)
        raise SystemExit(error.exit_code) from None
    return application(settings, lookup, RequestCounters(counts), names)


def _outlive_not(parent: Any) -> None:
    """Stop in order when the parent is gone, killed for example: nobody would stop us any more."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def application(
    settings: Settings, lookup: Lookup, counters: RequestCounters, names: Collection[str] = ()
) -> FastAPI:
    """The application over a look-up, which it closes when it ends.

    Args:
        names: by which it is called, beside addresses and `localhost`; `*` among them = any. None given: any
            with a token, no other without one.
    """
    token = secret(settings, "lookup_token")
    jobs = Jobs(PATIENCE_MS / 1_000)
    sys.setswitchinterval(SWITCH_S)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        writing = asyncio.create_task(counters.keep_written())
        yield
        writing.cancel()
        counters.write()
        jobs.close()
        lookup.close()

    app = FastAPI(
        title="clickstream look-up",
        version=__version__,
        description="What is open of a session now, and what the models say of it.",
        lifespan=running,
        # Pages that load scripts from elsewhere: /openapi.json says the same.
        docs_url=None,
        redoc_url=None,
    )
    # Of a page whose name was bound to this address, only a token holds that it does not know.
    if "*" not in names and (names or token is None):
        app.add_middleware(AllowedNames, names=names)
    app.add_middleware(Guard, token=token, counters=counters)
    app.mount("/metrics", make_asgi_app(registry((counters.samples,))))

    @app.exception_handler(ClickstreamError)
    async def unavailable(_: Request, error: ClickstreamError) -> Response:
        return _json({"error": error.what, "remedy": error.remedy}, 503)

    @app.exception_handler(RequestValidationError)
    async def refused(_: Request, error: RequestValidationError) -> Response:
        # What was sent is not repeated: it may be long, or hostile.
        wrong = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        return _json({"error": "; ".join(wrong), "remedy": "/openapi.json says what is allowed."}, 422)

    @app.get(
        "/v1/sessions/{session_id:path}",
        summary="What is open of one session",
        response_model=OpenSessionView,
        responses={**_REFUSALS, 404: {"model": Refusal, "description": "nothing is open of it"}},
    )
    async def one_session(session_id: SessionIdInPath, reasons: HowMany = 0) -> Response:
        found = await jobs.run(lookup.session, session_id, reasons)
        if found is None:
            return _json({"error": f"nothing is open of session {session_id!r}", "remedy": ""}, 404)
        return _json(found)

    @app.get(
        "/v1/sessions",
        summary="Open sessions by chance, the highest first",
        description=f"Of the {CONSIDERED:,} sessions that close last.",
        response_model=OpenSessionsView,
        responses=_REFUSALS,
    )
    async def open_sessions(
        min_conversion: Chance = 0.0,
        max_conversion: Chance = 1.0,
        by: Answerer = "batch",
        limit: Limit = 20,
    ) -> Response:
        pieces = lookup.sessions(by, min_conversion, max_conversion, limit)
        while (page := await jobs.run(next, pieces)) is None:
            pass
        return _json({"sessions": page.sessions, "open": page.open_sessions, "considered": page.considered})

    @app.get("/healthz", summary="Whether the process answers")
    async def alive() -> Response:
        return _json({"alive": True})

    @app.get("/readyz", summary="Whether sessions can be looked up")
    async def ready() -> Response:
        problem = await jobs.run(lookup.problem)
        return _json({"ready": not problem, "reasons": [problem] if problem else []}, 503 if problem else 200)

    return app


class Guard:
    """What stands before the routes below /v1/: the token, and the count of what was answered."""

    def __init__(self, app: ASGIApp, token: str | None, counters: RequestCounters) -> None:
        self._app = app
        self._token = token
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        passes = self._token is None or _carries(Headers(scope=scope), self._token)
        try:
            await (self._app if passes else _unauthorised())(scope, receive, sent)
        finally:
            self._counters.answered(status, time.perf_counter() - begun)


def _carries(headers: Headers, token: str) -> bool:
    given = headers.get("authorization", "")
    return secrets.compare_digest(given.encode(), f"Bearer {token}".encode())


def _unauthorised() -> Response:
    refusal = {
        "error": "no token, or a wrong one",
        "remedy": "Send the header Authorization: Bearer <token>.",
    }
    response = _json(refusal, 401)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, {"Cache-Control": "no-store"}, "application/json")
