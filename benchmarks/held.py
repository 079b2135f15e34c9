"""Something slow in front of an application, outside of its database: each request waits, then goes through."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send


class Waiting:
    """Plain ASGI: hold each request open for some seconds before the application sees it.

    Args:
        app: what answers then.
        seconds: how long.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's part of ASGI."""
        if scope["type"] == "http":
            await asyncio.sleep(self._seconds)
        await self._app(scope, receive, send)
