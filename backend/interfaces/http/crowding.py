"""How many requests are worked on at the same time: one more is refused at once, instead of all taking ever longer."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.core.errors import Overloaded
from backend.interfaces.http.errors import response

# Many times the connections that there are, so that none of them is idle while requests wait; and no more than can be
# answered in about the second after which whoever gets no connection is refused anyway.
AT_ONCE: Final = 100
FULL: Final = "The server has more requests than it can work on; try again in a second."
HEALTH: Final = "/health"  # says that the process lives, also when it is busy
LONG_POLL: Final = "/tasks/claim"


class Gate:
    """Plain ASGI middleware that refuses requests while `most` of them are under way.

    A stream counts until it begins, and a long poll not at all: both only wait. Hot reads don't come here: the lane
    answers them together, and refuses by itself.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, or refuse it."""
        if scope["type"] != "http" or scope["path"] == HEALTH or _waits(scope):
            await self._app(scope, receive, send)
            return
        if self._under_way >= self._most:
            await response(Overloaded(FULL))(scope, receive, send)
            return
        counted = True
        self._under_way += 1

        def leave() -> None:
            nonlocal counted
            self._under_way -= counted
            counted = False

        async def noticed(message: Message) -> None:
            if message["type"] == "http.response.start":
                leave()
            await send(message)

        try:
            await self._app(scope, receive, noticed)
        finally:
            leave()


def _waits(scope: Scope) -> bool:
    """Whether it is a long poll."""
    return scope["path"].endswith(LONG_POLL) and b"wait=" in scope["query_string"]
