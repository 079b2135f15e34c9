"""Ways to a server on which things go wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Self
from urllib.parse import urlsplit


class Way:
    """A proxy that loses answers and requests.

    Args:
        to: the server's address.
        lost: of so many POSTs from now on the answer is lost, after the server has acted.
        away: requests that hold these bytes never arrive, as long as it is set.
        port: where it listens; by default anywhere.

    Attributes:
        cut: bytes of an answer after which every connection breaks, if set; `cuts` counts them.
    """

    def __init__(self, to: str, *, lost: int = 0, away: bytes | None = None, port: int = 0) -> None:
        self._to = urlsplit(to)
        self._port = port
        self._carrying: set[asyncio.Task[None]] = set()
        self.lost = lost
        self.away = away
        self.cut: int | None = None
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._proxy = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self.url = f"http://127.0.0.1:{self._proxy.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._proxy.close()
        for carrying in self._carrying:
            carrying.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        await self._proxy.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._carrying.add(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        asked = bytearray()
        carried = 0

        async def ask() -> None:
            while chunk := await reader.read(65536):
                asked.extend(chunk)
                if self.away is not None and self.away in asked:
                    break
                back.write(chunk)
            back.close()

        asking = asyncio.create_task(ask())
        try:
            while answer := await there.read(65536):
                if asked.startswith(b"POST") and self.lost:
                    self.lost -= 1
                    break
                asked.clear()
                carried += len(answer)
                if self.cut is not None and carried > self.cut:
                    self.cuts += 1
                    writer.write(answer[: self.cut - carried])
                    break
                writer.write(answer)
        finally:
            asking.cancel()
            for end in (back, writer):
                end.close()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()


@contextlib.asynccontextmanager
async def answering(status: str) -> AsyncIterator[str]:
    """An address where every request gets this status and a page of HTML."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError), contextlib.closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            page = b"<h1>Welcome</h1>"
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + page)
            await writer.drain()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as proxy:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
