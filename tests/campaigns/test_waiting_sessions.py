"""Coding agents wait at once, many times as many as the server has connections, and cost it next to nothing."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import psycopg2

from agentsquad.schemas import limits
from backend.live.waiting import CHECK
from tests.campaigns import crowd
from tests.campaigns.calling import answer
from tests.campaigns.crew import Crew, Journal, Worker, say, until
from tests.campaigns.serving import Place, standing
from tests.conftest import ITS_CLIENTS, SCALE
from tests.interfaces.http.conftest import made
from tests.interfaces.mcp.conftest import MODES, joined

AMOUNT = 200 if SCALE >= 10 else 60
POOL, READS = 5, 2
OTHERS = 2  # connections: the doorbell, and the one that looked at the schema
ROLES = ("baker", "baker", "", "")  # both kinds of protocol in each
BAKERS = AMOUNT // 2
PER_CHECK = 2  # statements of one that waits: whose its token is, and whether that opens the squad still
BACKGROUND = 20  # statements a second of a server for which nobody waits: a few, and it is busy
PROBES = 40  # requests whose latency is measured, with and without the crowd
AT_ONCE = 8  # that come at the same time
IDLE = 30.0 if SCALE >= 10 else CHECK  # seconds in which nothing comes, before any wait is over
PATIENCE = 60.0


async def attend(journal: Journal, place: Place, go: Path) -> None:
    """All of them: each waits, reads what came, claims once it may, and waits again."""

    turn = asyncio.Semaphore(AT_ONCE)
    listed: dict[str, Any] = {}  # what clients learn of the tools, and would each compile for as long as all this takes
    compiled: dict[str, Any] = {}

    async def one(index: int) -> None:
        chance = random.Random(index)
        async with AsyncExitStack() as stack:
            session = joined(place.urls[0], place.tokens[index], MODES[index % 2])

            async def call(tool: str, **arguments: Any) -> Any:
                return await answer([came], chance, tool, **arguments)

            async with turn:
                came = await stack.enter_async_context(session)
                came.client.session._tool_output_schemas = listed
                came.client.session._tool_output_validators = compiled
                await call("whoami")
            while True:
                journal.note("waits", member=index)
                there = await call("wait", seconds=limits.WAIT)
                if there["unread"]:
                    journal.note("told", member=index, at=time.time())
                    posts = (await call("fetch_inbox"))["items"]
                    await call("fetch_inbox", acknowledge=[post["message"] for post in posts])
                    journal.note("read", member=index, bodies=[post["body"] for post in posts])
                elif there["work"]:
                    journal.note("called", member=index, at=time.time())
                    await until(go.exists, PATIENCE)
                    claimed = await call("claim_task")
                    journal.note("claimed", member=index, claim=claimed.get("claim"))

    await asyncio.gather(*[one(index) for index in range(len(place.tokens))])


class Witness:
    """What the database says of the server: its connections, its statements."""

    def __init__(self, connection: Any) -> None:
        connection.autocommit = True
        self._cursor = connection.cursor()

    def ask(self, query: str) -> Any:
        """The row of a query."""
        self._cursor.execute(query)
        return self._cursor.fetchone()

    def statements(self) -> int:
        """How many there were; each transaction counts once, and most statements are one."""
        query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        return int(self.ask(f"SELECT pg_stat_clear_snapshot(), ({query})")[1])

    def connections(self) -> int:
        """How many the server has."""
        return int(self.ask(f"SELECT count(*) {ITS_CLIENTS} AND pid <> pg_backend_pid()")[0])

    async def during(self, seconds: float) -> tuple[float, int]:
        """Statements, and the most connections, of that time."""
        before, most, ends = self.statements(), 0, time.monotonic() + seconds
        while time.monotonic() < ends:
            most = max(most, self.connections())
            await asyncio.sleep(0.1)
        return self.statements() - before, most


def of(times: list[float]) -> str:
    """For people."""
    return f"p50 {sorted(times)[len(times) // 2] * 1000:.1f} ms, p95 {sorted(times)[len(times) * 95 // 100] * 1000:.1f}"


async def timed(call: Callable[[], Awaitable[httpx.Response]]) -> list[float]:
    """How long each of a row of requests takes."""
    times = []
    for _ in range(PROBES):
        began = time.monotonic()
        assert (await call()).status_code == 200
        times.append(time.monotonic() - began)
        await asyncio.sleep(random.uniform(0, 0.01))
    return times


async def latencies(owner: httpx.AsyncClient) -> str:
    """Of a task that is read, and of tasks that are claimed."""
    reads = await timed(lambda: owner.get("/tasks/1"))
    claims = await timed(lambda: owner.post("/tasks/claim", headers={"Squad-Member": "probe"}))
    return f"read {of(reads)}, claim {of(claims)}"


def each(crowd: Worker, what: str) -> Counter[int]:
    """How often each of them has noted that."""
    return Counter(note["member"] for note in crowd.notes(what))


async def noted(crowd: Worker, what: str, times: int) -> None:
    """Wait until all of them together have noted that so often, without reading all that they wrote."""
    line = f'"what": "{what}"'.encode()
    await until(lambda: crowd.path.exists() and crowd.path.read_bytes().count(line) >= times, PATIENCE)


def after(crowd: Worker, what: str, began: float) -> list[float]:
    """How long after something each of them has noted that."""
    return [note["at"] - began for note in crowd.notes(what)]


async def test_many_wait_at_once_and_each_is_woken_once(database_url: str, tmp_path: Path) -> None:
    assert crowd.room_for(2 * AMOUNT) == 2 * AMOUNT
    pool = {"SQUAD_POOL_SIZE": str(POOL), "SQUAD_READ_CONNECTIONS": str(READS)}
    everybody, bakers = range(AMOUNT), [index for index in range(AMOUNT) if ROLES[index % len(ROLES)] == "baker"]
    go = tmp_path / "go"
    async with standing(tmp_path / "home", 1, DATABASE_URL=database_url, **pool) as servers:
        place = await Place.found(servers, "waiting", AMOUNT, lease_seconds=60, roles=ROLES)
        headers = {"Authorization": f"Bearer {place.key}"}
        url = f"{place.urls[0]}/squads/{place.squad}"
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as owner:
            made(await owner.post("/members", json={"name": "probe", "role": "probe"}))
            made(await owner.post("/tasks", json={"tasks": [{"title": "x", "role": "probe"}] * 2 * PROBES}))
            with closing(psycopg2.connect(database_url)) as connection, Crew(tmp_path / "crew") as crew:
                witness = Witness(connection)
                alone, _ = await witness.during(1.0)
                quiet = await latencies(owner)
                waiting = crew.start(attend, place, go)
                await noted(waiting, "waits", AMOUNT)
                await asyncio.sleep(1)  # in which all have looked for the first time
                idle, most = await witness.during(IDLE)
                busy = await latencies(owner)
                assert (each(waiting, "told"), each(waiting, "called")) == ({}, {})

                before, told_at = witness.statements(), time.time()
                made(await owner.post("/messages", json={"all": True, "body": "hear"}))
                await noted(waiting, "read", AMOUNT)
                await noted(waiting, "waits", 2 * AMOUNT)
                told = witness.statements() - before
                assert each(waiting, "told") == dict.fromkeys(everybody, 1)

                called_at = time.time()
                made(await owner.post("/tasks", json={"tasks": [{"title": "bread", "role": "baker"}]}))
                await noted(waiting, "called", BAKERS)
                go.touch()
                await noted(waiting, "claimed", BAKERS)
                await noted(waiting, "waits", 2 * AMOUNT + BAKERS)
                assert each(waiting, "called") == dict.fromkeys(bakers, 1)
                assert each(waiting, "told") == dict.fromkeys(everybody, 1)
                assert [note["claim"] for note in waiting.notes("claimed") if note["claim"]] == [f"{2 * PROBES + 1}/1"]
                assert [note["bodies"] for note in waiting.notes("read")] == [["hear"]] * AMOUNT
                most = max(most, witness.connections())
                calls = after(waiting, "told", told_at), after(waiting, "called", called_at)
    assert READS < most <= POOL + READS + OTHERS
    assert told > AMOUNT  # the control: what they do is counted
    assert idle <= (AMOUNT * PER_CHECK + CHECK * BACKGROUND) * (IDLE / CHECK + 1)
    say(
        f"waiting, MCP: {AMOUNT} at once, {most} connections at most, {idle / IDLE:.0f} statements a second "
        f"({alone:.0f} without them); {quiet} without, {busy} with them; a message reached all: {of(calls[0])}, "
        f"{told} statements; a task called {BAKERS}: {of(calls[1])}, one got it"
    )
