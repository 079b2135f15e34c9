"""One MCP server of a member: connected to when it is needed, and anew when the connection was lost.

Each session is held by a task of its own, which opens and closes it, whoever calls in between.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
from fastmcp.client.transports import StreamableHttpTransport
from mcp_types import Tool
from pydantic_ai.mcp import MCPToolset

from agentsquad.schemas.hosting import ToolServer
from backend.core.settings import Settings
from backend.runner import addresses

CONNECT: Final = 15.0  # seconds until a session stands and its tools are known
CALL: Final = 60.0  # seconds that a tool may take
CLOSE: Final = 5.0  # seconds until a session that doesn't end is left behind


class Server:
    """The server.

    Args:
        config: its name and address.
        settings: with the allowed networks and the keys.
        connect: seconds to connect in.
        call: seconds of a call.
    """

    def __init__(self, config: ToolServer, settings: Settings, connect: float = CONNECT, call: float = CALL) -> None:
        self.config = config
        self._settings = settings
        self._limits = connect, call
        self.status: int | None = None  # of the last request, where it was refused; the library's errors don't tell
        self._connecting = asyncio.Lock()
        self._holder: asyncio.Task[None] | None = None
        self._toolset: MCPToolset[None] | None = None

    async def tools(self) -> list[Tool]:
        """What it offers. Its errors are whatever the libraries raise."""
        self.status = None
        async with asyncio.timeout(self._limits[0]):
            return await (await self._connected()).list_tools()

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """What one of its tools answers. Its errors are whatever the libraries raise; the call isn't repeated."""
        self.status = None
        async with asyncio.timeout(self._limits[0]):
            toolset = await self._connected()
        async with asyncio.timeout(self._limits[1]):
            return await toolset.direct_call_tool(tool, arguments)

    async def close(self) -> None:
        """End the session, also one that no longer works; the next call opens another."""
        holder, self._holder, self._toolset = self._holder, None, None
        if holder and not holder.done():
            holder.cancel()
            await asyncio.wait({holder}, timeout=CLOSE)

    async def _connected(self) -> MCPToolset[None]:
        async with self._connecting:
            if self._toolset is None:
                ready: asyncio.Future[MCPToolset[None]] = asyncio.get_running_loop().create_future()
                self._holder = asyncio.create_task(self._hold(ready))
                try:
                    self._toolset = await ready
                except BaseException:
                    await self.close()
                    raise
            return self._toolset

    async def _hold(self, ready: asyncio.Future[MCPToolset[None]]) -> None:
        try:
            async with self._opened() as toolset:
                if not ready.done():
                    ready.set_result(toolset)
                await asyncio.Event().wait()
        except Exception as error:  # noqa: BLE001  # whoever waits for the session gets it
            if not ready.done():
                ready.set_exception(error)
        finally:
            ready.cancel()

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[MCPToolset[None]]:
        def client(
            headers: dict[str, str] | None = None,  # noqa: ARG001  # the checked client has its own
            timeout: httpx2.Timeout | None = None,  # noqa: ARG001  # as above
            auth: httpx2.Auth | None = None,  # noqa: ARG001  # as above
            **_: Any,
        ) -> httpx2.AsyncClient:
            made = addresses.client(self._settings)
            made.event_hooks = {"response": [note]}
            return made

        async def note(response: httpx2.Response) -> None:
            self.status = response.status_code if response.is_error else None

        async def unheard(_: Any) -> None:
            """What a server logs is its own affair."""

        transport = StreamableHttpTransport(self.config.url, httpx_client_factory=client)
        connect, call = self._limits
        async with MCPToolset[None](
            transport, tool_error_behavior="error", log_handler=unheard, init_timeout=connect, read_timeout=call
        ) as toolset:
            yield toolset
