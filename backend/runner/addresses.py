"""The one way to addresses that a member's configuration names.

Where it leads is checked with each connection. Redirects, proxies, cookies and the environment play no part. Keys of
the administrator are put on here, by host, and whatever else a library would send as a credential is left out.
"""

import contextlib
import ssl
from collections.abc import AsyncIterator
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx2

from agentsquad.schemas import limits
from backend.core.settings import Settings
from backend.runner.connecting import Wire
from backend.runner.errors import AddressRefused, TooMuch

CONNECT: Final = 10.0  # seconds until a connection stands
IDLE: Final = 600.0  # seconds of silence, at most; whoever asks has a shorter time of its own
PORTS: Final = {"https": 443, "http": 80}
PORT_MAX: Final = 65_535
# What may leave: credentials that a library found in the environment have other names.
HEADERS: Final = {
    *("accept", "connection", "content-length", "content-type", "host", "transfer-encoding", "user-agent"),
    *("last-event-id", "mcp-method", "mcp-name", "mcp-protocol-version", "mcp-session-id"),
}


@cache
def authorities() -> ssl.SSLContext:
    """Whom https trusts, read once: that takes a tenth of a second, in which the event loop would stand still."""
    return httpx2.create_ssl_context()


def client(settings: Settings) -> httpx2.AsyncClient:
    """A client for such addresses. Whoever makes it closes it."""
    return httpx2.AsyncClient(
        transport=_Guarded(settings),
        timeout=httpx2.Timeout(IDLE, connect=CONNECT),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
    )


def place(address: str | httpx2.URL) -> str:
    """Host and port of an address, as they are told and as keys are given for them.

    Raises:
        AddressRefused: it is none.
    """
    with contextlib.suppress(httpx2.InvalidURL):
        url = httpx2.URL(address)
        port = url.port or PORTS.get(url.scheme, 0)
        if port <= PORT_MAX:
            return f"[{url.host}]:{port}" if ":" in url.host else f"{url.host.lower()}:{port}"
    raise AddressRefused(f"{address} is no address; correct it in the member's configuration.")


class _Guarded(httpx2.AsyncBaseTransport):
    """Sends each request with the key of its host, and nothing else that tells who asks."""

    def __init__(self, settings: Settings) -> None:
        self._keys = settings.SQUAD_KEYS
        self._wire = Wire(settings.SQUAD_PRIVATE_NETWORKS, authorities(), private_only=False)
        self._private = Wire(settings.SQUAD_PRIVATE_NETWORKS, authorities(), private_only=True)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it.

        Raises:
            AddressRefused: it leads where nobody is allowed to go.
            TooMuch: the answer is packed.
        """
        scheme, where = request.url.scheme, place(request.url)
        if scheme not in PORTS:
            raise AddressRefused(f"{where} is asked with http or https; {scheme} is no way to it.")
        host, _, port = where.rpartition(":")
        key = self._keys.get(where) or (self._keys.get(host) if int(port) == PORTS[scheme] else None)
        headers = {name: value for name, value in request.headers.items() if name in HEADERS}
        headers["accept-encoding"] = "identity"
        if key:
            headers["authorization"] = f"Bearer {key.get_secret_value()}"
        # A request of its own, so that the key is in none that an error may hold.
        sent = httpx2.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
        )
        # A key goes unencrypted only where the administrator allowed every address of the name.
        response = await (self._private if key and scheme == "http" else self._wire).handle_async_request(sent)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise TooMuch(f"{where} packs its answers; let it send them as they are.")
        response.stream = _Bounded(response.stream, where)
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        await self._wire.aclose()
        await self._private.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends with an error when it is longer than any answer."""

    def __init__(self, body: object, place: str) -> None:
        assert isinstance(body, httpx2.AsyncByteStream)
        self.body = body
        self.place = place

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = limits.BODY
        async for piece in self.body:
            left -= len(piece)
            if left < 0:
                raise TooMuch(f"{self.place} sends more than {limits.BODY} bytes; ask it for less.")
            yield piece

    async def aclose(self) -> None:
        await self.body.aclose()
