"""A running application on a database of its own, and its callers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from backend.app import create_app
from backend.core.settings import Settings


class Site:
    """An application whose lifespan has begun. Its callers reach it without a network."""

    def __init__(self, app: FastAPI, home: Path, stack: AsyncExitStack) -> None:
        self.app = app
        self.home = home
        self._stack = stack

    @property
    def key(self) -> str:
        return (self.home / "key").read_text(encoding="utf-8").strip()

    async def caller(self, key: str | None = None, base_url: str | None = None) -> httpx.AsyncClient:
        """Somebody with a key, or with none."""
        headers = httpx.Headers({} if key is None else {"Authorization": f"Bearer {key}"}, encoding="utf-8")
        transport = None if base_url else httpx.ASGITransport(app=self.app)
        client = httpx.AsyncClient(
            transport=transport, base_url=base_url or "http://squads.test", headers=headers, timeout=60, verify=False
        )  # certificates are slow to load, and nobody here has one
        return await self._stack.enter_async_context(client)

    async def newcomer(self, admin: httpx.AsyncClient, email: str) -> httpx.AsyncClient:
        """A new account and its key."""
        user = made(await admin.post("/users", json={"email": email}))
        key = made(await admin.post(f"/users/{user['id']}/keys", json={"name": "test"}))
        return await self.caller(key["secret"])


def made(response: httpx.Response) -> Any:
    """What a POST made."""
    assert response.status_code == 201, response.text
    return response.json()


def refused(response: httpx.Response, status: int, code: str) -> str:
    """The sentence of an error that has the one shape."""
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/json"
    return str(body["detail"])


async def squad(owner: httpx.AsyncClient, name: str = "web", **more: Any) -> str:
    """The address of a new squad."""
    made(await owner.post("/squads", json={"name": name, **more}))
    return f"/squads/{name}"


async def external(site: Site, owner: httpx.AsyncClient, squad: str, name: str, **more: Any) -> httpx.AsyncClient:
    """A new external member that comes with a token."""
    made(await owner.post(f"{squad}/members", json={"name": name, **more}))
    token = made(await owner.post(f"{squad}/members/{name}/tokens", json={}))
    return await site.caller(token["secret"])


async def tasks(owner: httpx.AsyncClient, squad: str, *titles: str, **more: Any) -> Any:
    """New tasks."""
    body = {"tasks": [{"title": title, **more} for title in titles]}
    return made(await owner.post(f"{squad}/tasks", json=body))["items"]


@asynccontextmanager
async def opened(settings: Settings, app: FastAPI | None = None) -> AsyncIterator[Site]:
    app = app or create_app(settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield Site(app, settings.SQUAD_HOME, stack)


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """An application whose lifespan has begun, behind a real uvicorn; its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="error"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), serving.exception()
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(DATABASE_URL=database_url, SQUAD_HOME=tmp_path / "home")


@pytest.fixture
async def site(settings: Settings) -> AsyncIterator[Site]:
    async with opened(settings) as site:
        yield site


@pytest.fixture
async def admin(site: Site) -> httpx.AsyncClient:
    """The first account, with the key from its file."""
    return await site.caller(site.key)


@pytest.fixture
async def ada(site: Site, admin: httpx.AsyncClient) -> httpx.AsyncClient:
    """A second account, no administrator."""
    return await site.newcomer(admin, "ada@example.com")
