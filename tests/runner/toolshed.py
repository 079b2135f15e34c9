"""A real MCP server on this machine, whose tools do what tools do outside."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass
class Shed:
    """The server, and what it saw."""

    url: str = ""
    key: str = ""
    says: str = ""  # what the tool `tell` answers
    headers: list[dict[str, str]] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)  # of the tool that never answers
    server: MCPServer[Any] = field(default_factory=lambda: MCPServer("shed"))


def stock(shed: Shed) -> MCPServer[Any]:
    """A server with the tools."""
    server = MCPServer[Any]("shed")

    @server.tool()
    def add(a: int, b: Annotated[int, Field(description="The other one.")]) -> int:
        """Add two numbers."""
        shed.called.append("add")
        return a + b

    @server.tool(name="read.file")
    def read(size: int) -> str:
        return "x" * size

    @server.tool(description="d" * 5_000)
    def fail() -> str:
        raise ToolError("the disk\0 is full")

    @server.tool()
    def look() -> Image:
        return Image(data=b"\x89PNG", format="png")

    @server.tool()
    def echo(text: str) -> list[str]:
        return [text, *(headers.get("authorization", "") for headers in shed.headers[-1:])]

    @server.tool()
    def tell() -> str:
        return shed.says

    @server.tool()
    async def hang() -> str:
        shed.called.append("hang")
        shed.entered.set()
        await asyncio.Event().wait()
        return ""

    return server


@asynccontextmanager
async def opened(shed: Shed, port: int = 0, tools: Callable[[Shed], MCPServer[Any]] = stock) -> AsyncIterator[Shed]:
    """Serve it; with a key, to whoever has it."""
    shed.server = tools(shed)
    inner = shed.server.streamable_http_app(streamable_http_path="/mcp")

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            shed.headers.append(dict(request.headers))
            if shed.key and request.headers.get("authorization") != f"Bearer {shed.key}":
                await PlainTextResponse("no", 401)(scope, receive, send)
                return
        await inner(scope, receive, send)

    async with _served(guarded, port) as bound:
        shed.url = f"http://127.0.0.1:{bound}/mcp"
        yield shed


@asynccontextmanager
async def _served(app: ASGIApp, port: int) -> AsyncIterator[int]:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, lifespan="on"))
    serving = asyncio.create_task(server.serve([listening]))
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        listening.close()
