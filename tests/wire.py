"""A relay between the program and PostgreSQL, which counts round trips and cuts connections."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from backend.core.urls import Address

NO_START: Final = {80877103: "TLS", 80877104: "GSSAPI"}  # requests that come before the startup message
ENDS_TURN: Final = b"SQ"  # Sync and Query: the client now waits for ReadyForQuery


class Relay:
    """Listens on TCP, forwards to the server of `url`.

    Args:
        url: an address of the server behind.
        tls: makes it speak TLS to clients, as the server behind does not.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self.turns = 0
        self._behind = Address.parse(url)
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self._server = await asyncio.start_server(self._serve, host, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self.cut()
        await asyncio.sleep(0)

    def url(self, **parameters: str) -> str:
        """The address through this relay."""
        behind = self._behind.for_sync()
        query = {name: value for name, value in behind.query.items() if name not in ("host", "port")} | parameters
        through = behind.set(host=self.host, port=self.port, query=query, drivername="postgresql")
        return through.render_as_string(hide_password=False)

    def cut(self) -> None:
        """End every connection at once, in both directions, without a word."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._behind.hosts[0]
        if host.startswith("/"):
            behind = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            behind = await asyncio.open_connection(host, port)
        both = {writer, behind[1]}
        self._writers |= both
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            await self._greet(reader, writer, behind[1])
            answers = asyncio.create_task(_pump(behind[0], writer))
            await self._requests(reader, behind[1])
            answers.cancel()
        for each in both:
            each.transport.abort()
        self._writers -= both

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: Any) -> None:
        while True:
            size = await reader.readexactly(4)
            body = await reader.readexactly(int.from_bytes(size) - 4)
            kind = NO_START.get(int.from_bytes(body[:4]))
            if kind is None:
                behind.write(size + body)
                return
            writer.write(b"S" if self._tls and kind == "TLS" else b"N")
            if self._tls and kind == "TLS":
                await writer.start_tls(self._tls)

    async def _requests(self, reader: asyncio.StreamReader, behind: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(5)
            behind.write(head + await reader.readexactly(int.from_bytes(head[1:]) - 4))
            self.turns += head[:1] in ENDS_TURN


async def _pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(65536):
            to.write(chunk)
    to.transport.abort()


@asynccontextmanager
async def relayed(url: str, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Relay]:
    relay = Relay(url, tls)
    await relay.start(host)
    try:
        yield relay
    finally:
        await relay.stop()


async def turns_of(relay: Relay, call: Callable[[], Awaitable[object]]) -> int:
    """Round trips of one call, once everything is connected and prepared."""
    await call()
    before = relay.turns
    await call()
    return relay.turns - before
