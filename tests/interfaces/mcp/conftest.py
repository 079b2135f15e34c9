"""A running server with a squad, and members that come by MCP, in both kinds of protocol."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from tests.interfaces.http.conftest import Site, admin, listening, made, settings, site

__all__ = ["admin", "settings", "site"]  # fixtures
MODES = ("legacy", "2026-07-28")
Join = Callable[..., AbstractAsyncContextManager["Session"]]


class Refused(Exception):
    """A tool's error, by its code."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(said["code"])
        self.said = said


@dataclass(frozen=True)
class Session:
    """A member on the line."""

    client: Client

    async def result(self, tool: str, **arguments: Any) -> CallToolResult:
        return await self.client.call_tool(tool, arguments)

    async def call(self, tool: str, **arguments: Any) -> Any:
        """What a tool answers, or its error."""
        result = await self.result(tool, **arguments)
        if result.is_error:
            raise Refused(result.structured_content)
        return result.structured_content


@dataclass(frozen=True)
class Squad:
    """A squad of the first account, and a way in for its members."""

    url: str
    owner: httpx.AsyncClient
    path: str

    async def token(self, name: str, role: str = "tester", **more: Any) -> str:
        """Of a new external member."""
        made(await self.owner.post(f"{self.path}/members", json={"name": name, "role": role, **more}))
        return str(made(await self.owner.post(f"{self.path}/members/{name}/tokens", json={}))["secret"])

    async def task(self, title: str, **more: Any) -> int:
        body = {"tasks": [{"title": title, **more}]}
        return int(made(await self.owner.post(f"{self.path}/tasks", json=body))["items"][0]["number"])

    async def shown(self, number: int) -> Any:
        return (await self.owner.get(f"{self.path}/tasks/{number}")).json()


@asynccontextmanager
async def joined(url: str, token: str, mode: str = "2026-07-28", **headers: str) -> AsyncIterator[Session]:
    """A session of the official client, over real HTTP."""
    given = {"Authorization": f"Bearer {token}"} | headers
    async with (
        httpx2.AsyncClient(headers=given, timeout=90, verify=False) as http,  # certificates are slow to load
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield Session(client)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def url(site: Site) -> AsyncIterator[str]:
    async with listening(site.app) as url:
        yield url


@pytest.fixture
async def squad(url: str, admin: httpx.AsyncClient) -> Squad:
    made(await admin.post("/squads", json={"name": "web"}))
    return Squad(url, admin, "/squads/web")
