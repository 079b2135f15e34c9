"""What every answer of the page carries, and which requests that change something are refused.

A cookie travels with whatever request a browser makes, so a form of another site must not be taken for one of ours:
the cookie is SameSite=Strict, and here the browser's own word counts on where a request comes from.
"""

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.core.errors import Forbidden
from backend.interfaces.dashboard import errors

SAFE: Final = ("GET", "HEAD", "OPTIONS")
BY_HIMSELF: Final = ("same-origin", "none")
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: a browser would then send our own forms with `Origin: null`.
    "Referrer-Policy": "same-origin",
}
STRANGE: Final = "This request came from another page; open this one and try again."


class Guard:
    """Plain ASGI middleware: the headers of every answer, and no change for who comes from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on with the headers, or refuse it."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if scope["method"] not in SAFE and not is_ours(Headers(scope=scope)):
            refused = await errors.page(Request(scope), Forbidden(STRANGE))
            await refused(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


def is_ours(headers: Headers) -> bool:
    """Whether a browser says that a request comes from a page of this host; one that says nothing is not believed."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in BY_HIMSELF
    host = headers.get("host")
    return bool(host) and headers.get("origin", "").partition("://")[2] == host


def is_meant(headers: Headers) -> bool:
    """Whether a browser says that its user came here by himself or from a page of ours, and no other site led here."""
    return headers.get("sec-fetch-site") in BY_HIMSELF
