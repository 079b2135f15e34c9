"""The door in front of the API: `/mcp` for members, with a token on every request and no session on the server.

So any server process answers any request, and a token that is revoked is refused on the next one.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any, Final

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from sse_starlette.sse import AppStatus
from starlette.datastructures import Headers, State
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from agentsquad.schemas import limits
from backend.core.errors import SquadError
from backend.interfaces.mcp import errors
from backend.interfaces.mcp.callers import Caller
from backend.interfaces.mcp.server import CALLER

ADDRESS: Final = "/mcp"
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
NO_METHOD: Final = "MCP is spoken by POST here: nothing comes by itself."
STRANGE: Final = "This request came from a web page of another host."
_PORT: Final = re.compile(r":\d+$")


class Door:
    """Plain ASGI middleware that lets members in, and sends all other requests on.

    Args:
        app: what comes next.
        state: of the application, with the database, the credentials and the feed.
    """

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose."""
        if scope["type"] == "http" and scope["path"].rstrip("/") == ADDRESS:
            answer = await self._inside(scope)
            with contextlib.suppress(ClientDisconnect):  # before its message was whole
                await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _inside(self, scope: Scope) -> Any:
        # Space around a header's value is no part of it (RFC 9110, 5.5), and uvicorn's parser leaves what follows.
        scope["headers"] = [(name, value.strip()) for name, value in scope["headers"]]
        headers = Headers(scope=scope)
        if not _is_ours(headers, scope.get("server")):
            return errors.refusal(403, STRANGE, {"code": "forbidden"})
        if scope["method"] != "POST":
            return errors.refusal(405, NO_METHOD, {"code": "method_not_allowed"}, Allow="POST")
        try:
            scope[CALLER] = await Caller.of(self._state, headers)
        except SquadError as error:
            return errors.response(error)
        return self._state.mcp.handle_request


@contextlib.asynccontextmanager
async def opened(server: Server[Any], state: State) -> AsyncIterator[None]:
    """Answer requests as long as the block lasts."""
    # The manager's own check of hosts knows them by a fixed list; a token in a header is what no strange page has.
    manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=limits.BODY)
    ready = asyncio.Event()

    async def run() -> None:
        async with manager.run():
            ready.set()
            await asyncio.Event().wait()

    # Answers under way end by themselves, and a wait by the feed's end.
    AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # it has no annotations
    running = asyncio.create_task(run())  # the manager has to end in the task in which it began
    try:
        waits = asyncio.create_task(ready.wait())
        await asyncio.wait([running, waits], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            waits.cancel()
            running.result()
        state.mcp = manager
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


def _is_ours(headers: Headers, server: tuple[str, int | None] | None) -> bool:
    """Whether no browser says that the request comes from another host's page.

    A page may be served under a name that leads here only now: to it, we are its own host. So what reaches this machine
    from itself and comes from a browser has to call it by a name of this machine.
    """
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is None:
        return True
    by_itself = server is not None and server[0] in LOCAL
    return origin.partition("://")[2] == host and (not by_itself or _PORT.sub("", host) in LOCAL)
