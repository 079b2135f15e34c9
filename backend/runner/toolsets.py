"""The tools of a member's MCP servers, as a model can call them.

What servers say (names, descriptions, results, errors) is data from outside: cut, storable, and without the keys that
were sent to them. A server that isn't there keeps nobody from working; its absence is told.
"""

import asyncio
import json
import logging
from types import TracebackType
from typing import Any, Final, Self

import httpx2
from fastmcp.exceptions import ToolError
from mcp import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, REQUEST_TIMEOUT, Tool
from pydantic_ai.messages import BinaryContent
from pydantic_ai.tools import ToolDefinition

from agentsquad.schemas.hosting import ToolServer
from backend.core.settings import Settings
from backend.runner import cleaning, naming
from backend.runner.errors import Failure, chain
from backend.runner.servers import CALL, CONNECT, Server

DESCRIPTION: Final = 1_000  # characters of a tool's description
RESULT: Final = 16_000  # characters of its answer
SCHEMA: Final = 20_000  # characters of its arguments' schema, beyond which it is left out
SECRET: Final = 6  # characters from which on a key is one, and no word like "none"
REFUSED: Final = {INVALID_PARAMS, METHOD_NOT_FOUND}  # by a server that works
TOOLS: Final = 64  # tools of one server
log = logging.getLogger(__name__)


class Toolsets:
    """The tools. Nothing is connected before they are asked for, and everything is closed at the end.

    Args:
        servers: of the member's configuration.
        settings: with the allowed networks and the keys.
        connect: seconds for a server to connect in.
        call: seconds of a call.
    """

    def __init__(
        self, servers: list[ToolServer], settings: Settings, connect: float = CONNECT, call: float = CALL
    ) -> None:
        self._servers = [Server(each, settings, connect, call) for each in servers]
        self._secrets = [key for key in settings.SQUAD_KEYS.values() if len(key) >= SECRET]
        self._tools: dict[str, tuple[Server, str]] = {}
        self.absent: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(server.close() for server in self._servers))

    async def definitions(self) -> list[ToolDefinition]:
        """What can be called. What can't, and why, is in `absent` afterwards, a sentence for each."""
        self._tools, self.absent = {}, []
        listed = await asyncio.gather(*(server.tools() for server in self._servers), return_exceptions=True)
        found: list[ToolDefinition] = []
        for server, tools in zip(self._servers, listed, strict=True):
            if isinstance(tools, Exception):
                self._miss(f"The tools of {server.config.name} aren't there: {await self._why(server, tools)}")
            elif isinstance(tools, BaseException):
                raise tools
            else:
                found += filter(None, (self._defined(server, tool) for tool in tools[:TOOLS]))
                if len(tools) > TOOLS:
                    self._miss(
                        f"{server.config.name} has {len(tools)} tools; those after the first {TOOLS} are left out."
                    )
        return found

    def __contains__(self, name: str) -> bool:
        """Whether it can be called, once that was asked for."""
        return name in self._tools

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """What a tool answers, or what became of it, in words for the model."""
        if name not in self._tools:
            return f"There is no tool {name}."
        server, tool = self._tools[name]
        try:
            return self._said(_text(await server.call(tool, arguments)))
        except ToolError as error:
            return self._said(f"The tool failed: {error}")
        except Exception as error:  # noqa: BLE001  # each is told to the model, which may do without
            if isinstance(error, MCPError) and error.code in REFUSED:
                return self._said(f"The call was refused: {error}")
            why = await self._why(server, error)
            return f"The tool gave no answer: {why} Whether it did something is unknown."

    def _defined(self, server: Server, tool: Tool) -> ToolDefinition | None:
        schema = cleaning.json(tool.input_schema)
        if len(json.dumps(schema)) > SCHEMA:
            self._miss(f"A tool of {server.config.name} is left out: its arguments take too many words.")
            return None
        name = naming.of(server.config.name, tool.name, self._tools)
        self._tools[name] = server, tool.name
        description = self._said(tool.description or "", DESCRIPTION)
        return ToolDefinition(name=name, description=description, parameters_json_schema=schema)

    def _miss(self, sentence: str) -> None:
        self.absent.append(sentence)

    async def _why(self, server: Server, error: Exception) -> str:
        """A sentence about a server that doesn't answer as it should; its session is ended."""
        await server.close()
        log.warning("MCP server %s failed: %s.", server.config.name, type(error).__name__)
        ours = next((each for each in chain(error) if isinstance(each, Failure)), None)
        if ours:
            return ours.detail
        if server.status:
            wanted = ", and may want a key of SQUAD_KEYS" if server.status in {401, 403} else ""
            return f"the server answers with status {server.status}{wanted}."
        late = (TimeoutError, httpx2.TimeoutException)
        if any(isinstance(each, late) or getattr(each, "code", 0) == REQUEST_TIMEOUT for each in chain(error)):
            return "the server didn't answer in time."
        return "the server can't be reached, or speaks no MCP over streamable HTTP."

    def _said(self, text: str, most: int = RESULT) -> str:
        """What comes from outside, as it can be told."""
        text = cleaning.text(text)
        for secret in self._secrets:
            text = text.replace(secret.get_secret_value(), "[key]")
        return text if len(text) <= most else f"{text[:most]}\n[{len(text) - most} characters more are left out.]"


def _text(result: Any) -> str:
    match result:
        case str():
            return result
        case BinaryContent():
            return f"[{result.media_type}, {len(result.data)} bytes]"
        case list():
            return "\n".join(_text(each) for each in result)
    return json.dumps(result, ensure_ascii=False, default=str)
