"""A server that says what a test wants, in raw HTTP, and a client at the other end of the bridge."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

from agentsquad import bridge
from agentsquad.bridge.door import Door
from tests.interfaces.http.streaming import PATIENCE

TOKEN: Final = "sqm_0123456789abcdef"
SQUAD: Final = "0193f6c0-0000-7000-8000-000000000001"


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    text: bytes
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key")

    async def say(self, status: str, text: str | bytes, kind: str = "application/json", **headers: str) -> None:
        """A whole answer."""
        body = text.encode() if isinstance(text, str) else text
        fields = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
        await self.write(self.head(status, fields) + body)

    async def write(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    @staticmethod
    def head(status: str, fields: dict[str, str]) -> bytes:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


Answer = Callable[[Asked], Awaitable[None]]


def says(status: str, text: str | bytes, kind: str = "application/json", **headers: str) -> Answer:
    """Say this."""
    return lambda asked: asked.say(status, text, kind, **headers)


def result(**fields: Any) -> Answer:
    """Answer with this result."""

    async def answer(asked: Asked) -> None:
        await asked.say("200 OK", json.dumps({"jsonrpc": "2.0", "id": asked.body["id"], "result": fields}))

    return answer


def tool(**content: Any) -> Answer:
    """Answer a call of a tool."""
    return result(content=[], structuredContent=content)


def events(*said: Any, whole: bool = True) -> Answer:
    """Answer by a stream of these; the connection ends before the stream does unless it is whole."""

    async def answer(asked: Asked) -> None:
        await asked.write(asked.head("200 OK", {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}))
        for each in said:
            text = each if isinstance(each, str) else f"event: message\r\ndata: {json.dumps(each)}\r\n\r\n"
            data = text.encode()
            await asked.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        if whole:
            await asked.write(b"0\r\n\r\n")
        else:
            asked.writer.close()

    return answer


async def cut(asked: Asked) -> None:
    """Hang up in the middle of an answer."""
    await asked.write(asked.head("200 OK", {"Content-Type": "application/json", "Content-Length": "999"}) + b'{"json')
    asked.writer.close()


async def hang_up(asked: Asked) -> None:
    """Say nothing."""
    asked.writer.close()


class Hang:
    """Let a request hang until it is let go, or its client hangs up."""

    def __init__(self, then: Answer) -> None:
        self.came = asyncio.Event()
        self.go = asyncio.Event()
        self.left = asyncio.Event()
        self._then = then

    async def __call__(self, asked: Asked) -> None:
        self.came.set()
        going, leaving = asyncio.create_task(self.go.wait()), asyncio.create_task(asked.reader.read(1))
        await asyncio.wait({going, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if going.done():
            leaving.cancel()
            await asyncio.wait({leaving})
            await self._then(asked)
        else:
            going.cancel()
            self.left.set()


class StandIn:
    """A server by script.

    Attributes:
        script: how the next messages are answered; without one the method is echoed.
        asked: the messages that came.
        beats: the claims of each heartbeat that came.
        lost: the claims that are live no more.
        released: the claims that were released.
        beat: how a heartbeat is answered.
        release: how a release is answered.
    """

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.asked: list[Asked] = []
        self.beats: list[list[str]] = []
        self.lost: set[str] = set()
        self.released: list[str] = []
        self.beat: Answer = self._renew
        self.release: Answer = says("200 OK", "{}")
        self.heard = asyncio.Condition()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**24)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name
                }
                text = await reader.readexactly(int(headers.get("content-length", 0)))
                await self._answer(Asked(head[0].split()[1], headers, text, reader, writer))

    async def _answer(self, asked: Asked) -> None:
        if asked.path == "/mcp":
            answer = self.script.pop(0) if self.script else echo
            self.asked.append(asked)
        elif asked.path.endswith("/heartbeat"):
            self.beats.append(asked.body["claims"])
            answer = self.beat
        elif asked.path.endswith("/release"):
            assert asked.body["reason"] == "The client went away."
            self.released.append(asked.body["claim"])
            answer = self.release
        else:
            answer = says("404 Not Found", "{}")
        async with self.heard:
            self.heard.notify_all()
        await answer(asked)

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for requests until this holds."""
        async with asyncio.timeout(PATIENCE), self.heard:
            await self.heard.wait_for(lambda: bool(holds()))

    async def _renew(self, asked: Asked) -> None:
        rest = {"cancelled": False, "lease_ends_at": None, "detail": None}
        items = [{"claim": claim, "live": claim not in self.lost, **rest} for claim in asked.body["claims"]]
        await asked.say("200 OK", json.dumps({"items": items, "unread": 0}))


async def echo(asked: Asked) -> None:
    """What a server does that understands everything."""
    if "id" in asked.body and "method" in asked.body:
        await result(echo=asked.body["method"])(asked)
    else:
        await asked.say("202 Accepted", "")


class Client:
    """The other end of the bridge's pipes."""

    def __init__(self, url: str, token: str | None = TOKEN) -> None:
        self.door = Door(url, token, SQUAD, "ada")

    async def __aenter__(self) -> Self:
        source, self.input = os.pipe()
        output, sink = os.pipe()
        self._log, log = os.pipe()
        self._open = True
        self._theirs = [source, sink, log]
        self.reader = asyncio.StreamReader(limit=2**24)
        protocol = asyncio.StreamReaderProtocol(self.reader)
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: protocol, os.fdopen(output, "rb", buffering=0)
        )
        self.bridge = asyncio.create_task(bridge.serve(self.door, source, sink, log))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        self._pipe.close()
        os.close(self._log)

    def send(self, message: Any) -> None:
        """Send a message, or a line, as far as it fits into a pipe."""
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        os.write(self.input, line + b"\n")

    def ask(self, id_: str | int, method: str = "ping", **params: Any) -> None:
        """Send a request."""
        self.send({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})

    def call(self, id_: str | int, name: str = "whoami", **arguments: Any) -> None:
        """Send a call of a tool."""
        self.ask(id_, "tools/call", name=name, arguments=arguments)

    async def line(self) -> bytes:
        """The next line that comes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readline()

    async def heard(self) -> Any:
        """The next message that comes."""
        return json.loads(await self.line())

    async def result(self) -> Any:
        """The result that comes next."""
        return (await self.heard())["result"]

    async def error(self) -> Any:
        """The error that comes next."""
        return (await self.heard())["error"]

    async def close(self) -> None:
        """Go away, as clients do, and wait until the bridge has ended."""
        self.hang_up()
        async with asyncio.timeout(PATIENCE):
            await self.bridge
        while self._theirs:
            os.close(self._theirs.pop())

    def hang_up(self) -> None:
        """Go away."""
        if self._open:
            os.close(self.input)
        self._open = False

    def stop_reading(self) -> None:
        """Read no more of what is said."""
        self._pipe.close()

    async def log(self) -> str:
        """What a person reads next."""
        async with asyncio.timeout(PATIENCE):
            return (await asyncio.to_thread(os.read, self._log, 2**16)).decode()


@contextlib.asynccontextmanager
async def bridged(**more: Any) -> AsyncIterator[tuple[StandIn, Client]]:
    """A server and a client, with the bridge between them."""
    async with StandIn() as server, Client(server.url, **more) as client:
        yield server, client
