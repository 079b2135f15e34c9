import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from backend.core.settings import Settings
from backend.interfaces.http import crowding
from backend.interfaces.http.crowding import Gate
from tests.interfaces.http.conftest import listening, opened, refused

MOST = 2


class Room:
    """An application behind a gate, whose requests stay until they are let go."""

    def __init__(self) -> None:
        self.came = asyncio.Semaphore(0)
        self.go = asyncio.Event()
        self.app = FastAPI()
        self.app.add_middleware(Gate, most=MOST)

        @self.app.api_route("/{path:path}", methods=["GET", "POST"])
        async def stay(path: str) -> str:
            self.came.release()
            await self.go.wait()
            if path == "broken":
                raise ZeroDivisionError
            return path

    async def enter(self, client: httpx.AsyncClient, *paths: str) -> list[asyncio.Task[httpx.Response]]:
        """Let requests come, and wait until they are under way."""
        made = [asyncio.create_task(client.post(path)) for path in paths]
        async with asyncio.timeout(10):
            for _ in paths:
                await self.came.acquire()
        return made


@pytest.fixture
async def room() -> Room:
    return Room()


@pytest.fixture
async def client(room: Room) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=room.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://room.test") as client:
        yield client


async def test_one_more_than_fit_is_refused_at_once(room: Room, client: httpx.AsyncClient) -> None:
    inside = await room.enter(client, "/a", "/b")
    answer = await client.post("/c")
    refused(answer, 503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    room.go.set()
    assert [(await request).status_code for request in inside] == [200, 200]
    assert (await client.post("/c")).status_code == 200


async def test_whoever_leaves_makes_room_however_it_ends(room: Room, client: httpx.AsyncClient) -> None:
    broken, gone = await room.enter(client, "/broken", "/gone")
    gone.cancel()
    await asyncio.wait([gone])
    room.go.set()
    assert (await broken).status_code == 500
    room.go.clear()
    await room.enter(client, "/a", "/b")
    refused(await client.post("/c"), 503, "overloaded")
    room.go.set()


async def test_long_polls_and_the_question_whether_it_lives_find_room(room: Room, client: httpx.AsyncClient) -> None:
    inside = await room.enter(client, *["/squads/web/tasks/claim?wait=30"] * 5, "/health", "/a", "/b")
    refused(await client.post("/squads/web/tasks/claim"), 503, "overloaded")
    refused(await client.post("/tasks?wait=30"), 503, "overloaded")
    room.go.set()
    assert {(await request).status_code for request in inside} == {200}


async def test_a_stream_that_has_begun_takes_no_room() -> None:
    over = asyncio.Event()
    app = FastAPI()
    app.add_middleware(Gate, most=MOST)

    @app.get("/stream")
    async def stream(_request: Request) -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            yield b":\n"
            await over.wait()

        return StreamingResponse(lines())

    async with listening(app) as url, httpx.AsyncClient(base_url=url) as client:
        for _ in range(MOST * 3):
            answer = await client.send(client.build_request("GET", "/stream"), stream=True)
            assert answer.status_code == 200
        over.set()


async def test_hot_reads_pass_the_applications_gate_by(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "AT_ONCE", 0)
    async with opened(settings) as site:
        admin = await site.caller(site.key)
        assert [(await admin.get(path)).status_code for path in ("/users/me", "/health")] == [200, 200]
        refused(await admin.get("/squads"), 503, "overloaded")
        refused(await admin.post("/squads", json={"name": "web"}), 503, "overloaded")
