"""Whose body is read at all, and how much of it."""

from collections.abc import Mapping
from types import MappingProxyType

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.core.errors import Unauthenticated
from backend.interfaces.http.dependencies import NO_KEY
from backend.interfaces.http.errors import response


class Limit:
    """Plain ASGI middleware that reads no body that comes without a key, and of others none beyond the limit.

    The errors have the one shape.

    Args:
        app: what comes next.
        most: bytes of a body.
        larger: addresses that take more, and how much.
    """

    def __init__(self, app: ASGIApp, most: int, larger: Mapping[str, int] = MappingProxyType({})) -> None:
        self._app = app
        self._most = most
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, counting the body's bytes as they are read."""
        if scope["type"] == "http" and _is_anonymous(scope):
            await response(Unauthenticated(NO_KEY))(scope, receive, send)
            return
        size = 0
        most = self._larger.get(scope.get("path", ""), self._most)

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)


def _is_anonymous(scope: Scope) -> bool:
    """Whether there is a body, and no header that says whose."""
    headers = dict(scope["headers"])
    has_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0 ") != b""
    return has_body and b"authorization" not in headers
