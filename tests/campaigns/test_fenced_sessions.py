"""The fence, from where coding agents stand: MCP sessions claim and complete, and sleep through leases or die."""

import asyncio
import random
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text

from backend.core.database import Database
from tests.campaigns import checkers
from tests.campaigns.calling import answer
from tests.campaigns.crew import NAP, Crew, Journal, Worker, eventually, patiently, say, torment
from tests.campaigns.serving import Place, Server, standing
from tests.campaigns.test_fenced import held, unfence
from tests.conftest import SCALE
from tests.interfaces.http.conftest import made
from tests.interfaces.mcp.conftest import MODES, Refused, joined

PROCESSES = 9
VICTIMS = PROCESSES // 3
BATCH = 100
DEFECT = "The tool"  # how the log begins to tell that one has failed
BEATS = {"Squad-Heartbeat": "client"}  # its claims have the squad's own lease, and no call renews them


async def work(journal: Journal, place: Place, index: int, seed: int) -> None:
    """Claim through one server, take some time, complete through any, for ever; half of them as older clients do."""
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        coming = [joined(url, place.tokens[index], MODES[index % 2], **BEATS) for url in place.urls]
        sessions = [await stack.enter_async_context(each) for each in coming]
        while True:
            claimed = await answer(sessions, chance, "claim_task")
            if "claim" not in claimed:
                await answer(sessions, chance, "wait", seconds=1)
                continue
            number, attempt = map(int, claimed["claim"].split("/"))
            await asyncio.sleep(chance.uniform(0.05, 0.35))
            result = {"by": f"{index}/{seed}/{claimed['claim']}"}
            try:
                await answer(sessions, chance, "complete_task", claim=claimed["claim"], result=result)
                what = "completed"
            except Refused as refused:
                assert refused.said["code"] == "lost_claim", refused.said  # noqa: PT017  (the process has no test's rights)
                what = "refused"
            journal.note(what, task=number, attempt=attempt, result=result)


async def freeze(server: Server, counts: dict[str, int]) -> None:
    """Stop a server past every lease and wake it, again and again."""
    try:
        while True:
            await asyncio.sleep(2 * NAP)
            counts["frozen"] += 1
            server.signal(signal.SIGSTOP)
            await asyncio.sleep(NAP)
            server.signal(signal.SIGCONT)
    finally:
        server.signal(signal.SIGCONT)


async def campaign(database: Database, folder: Path, amount: int, seconds: float) -> tuple[checkers.State, Crew, Any]:
    """Get that many tasks done by sessions a third of whom are tormented, with two servers, of which one freezes."""
    counts = {"stopped": 0, "killed": 0, "frozen": 0}
    async with standing(folder / "home", 2, DATABASE_URL=database.url) as servers:
        place = await Place.found(servers, "fenced", PROCESSES)
        headers = {"Authorization": f"Bearer {place.key}"}
        async with httpx.AsyncClient(base_url=f"{place.urls[0]}/squads/{place.squad}", headers=headers) as owner:
            for _ in range(amount // BATCH):
                made(await owner.post("/tasks", json={"tasks": [{"title": "x"}] * BATCH}))
        with Crew(folder / "crew") as crew:

            def start(index: int, seed: int) -> Worker:
                return crew.start(work, place, index, seed)

            for index in range(VICTIMS, PROCESSES):
                start(index, index)
            tormentors = [torment(start, index, counts) for index in range(VICTIMS)]
            tormenting = [asyncio.create_task(each) for each in (*tormentors, freeze(servers[1], counts))]

            async def ended() -> bool:
                async with database.AsyncSessionLocal() as session:
                    left = text("SELECT count(*) FROM tasks WHERE status NOT IN ('done', 'failed')")
                    return not await session.scalar(left)

            await eventually(lambda: patiently(ended), seconds)
            for task in tormenting:
                task.cancel()
            await asyncio.wait(tormenting)
            await asyncio.sleep(0.6)  # the last ones to wake still try to write
            dead = [worker for worker in crew.workers if worker.process.exitcode not in (None, -signal.SIGKILL)]
            assert dead == []  # none met an answer that it had not expected
        assert [server.starts for server in servers] == [1, 1]
        assert [server.log for server in servers if DEFECT in server.log.read_text()] == []
    return checkers.state(database.url, UUID(place.squad)), crew, counts


async def test_no_task_is_lost_or_done_twice(database: Database, tmp_path: Path) -> None:
    amount = BATCH * SCALE
    after, crew, counts = await campaign(database, tmp_path, amount, 60 * SCALE)
    assert len(after.completions) == amount
    say(
        f"fenced, MCP: {PROCESSES} sessions with 2 servers, {amount} tasks, {counts['stopped']} stopped, "
        f"{counts['killed']} killed, servers frozen {counts['frozen']} times, "
        f"{held(after, crew.notes(), counts['stopped'])}"
    )


async def test_control_without_the_fence_the_checker_finds_it(database: Database, tmp_path: Path) -> None:
    await database.transact(unfence)
    after, crew, counts = await campaign(database, tmp_path, BATCH, 60)
    wrong = checkers.unfenced(after, crew.notes())
    assert any("times" in sentence for sentence in wrong)
    say(f"fenced, MCP, control: without the fence {len(wrong)} violations after {counts['stopped']} stops")
