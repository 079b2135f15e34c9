"""Real runners and servers that end and start anew: an answer finds its asker, and drained work another runner."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from agentsquad.schemas.tasks import TaskNew
from backend.core.database import Database
from backend.operations import tasks
from backend.runner import runners
from tests.campaigns import checkers, dying, hosting
from tests.campaigns.crew import Crew, eventually, found, say, until
from tests.campaigns.serving import Place, ready, standing
from tests.runner.standin import Answer, Body, StandIn, told

LEASE = 3  # seconds: of the dead, and yet longer than a busy machine stands still
PATIENCE = 60.0  # seconds in which everything here happens many times over


@asynccontextmanager
async def runner(home: Path, url: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A real `asq runner` that is at work; it doesn't outlive the block."""
    environment = {"PATH": os.environ["PATH"], "SQUAD_HOME": str(home), "DATABASE_URL": url}
    environment["SQUAD_PRIVATE_NETWORKS"] = "127.0.0.0/8"
    said = home.with_suffix(".log")
    with said.open("wb") as log:
        command = [sys.executable, "-m", "agentsquad", "runner"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: ASYNC220
    try:
        await until(lambda: "Running hosted members" in said.read_text(), PATIENCE)
        yield process
    finally:
        process.kill()
        process.wait()
        assert "Traceback" not in said.read_text()


def asks(body: Body) -> Answer:
    """A member that asks a person, and does as it is told."""
    children = told(body)["children"]
    if children:
        return {"text": f"It is {children[0]['result']} now."}
    return {"calls": [{"name": "ask_human", "arguments": {"question": "Blue or red?"}}]}


async def test_an_answer_that_comes_while_all_runners_are_down_is_found_after_any_restart(
    database_url: str, tmp_path: Path
) -> None:
    async with (
        StandIn(asks) as served,
        standing(tmp_path / "home", 1, DATABASE_URL=database_url, SQUAD_RUNNER="off") as servers,
    ):
        place = await Place.found(servers, "house", 0, lease_seconds=LEASE)
        way = httpx.AsyncClient(timeout=10, headers={"Authorization": f"Bearer {place.key}"})
        with Crew(tmp_path / "crew") as crew:
            async with way as client:
                squad = f"{servers[0].url}/squads/{place.squad}"

                async def post(path: str, body: Any) -> Any:
                    answer = await client.post(f"{squad}/{path}", json=body)
                    assert answer.status_code in (200, 201), answer.text
                    return answer.json()

                async def task() -> Any:
                    return (await client.get(f"{squad}/tasks/1")).json()

                hosted = {"model": "small", "base_url": served.url}
                await post("members", {"name": "ada", "kind": "hosted", "role": "painter", "hosting": hosted})
                await post("tasks", {"tasks": [{"title": "Paint the door", "role": "painter"}]})
                for phase in dying.INSIDE:  # it dies before its question is there, and right after
                    worker = await asyncio.to_thread(crew.start, dying.run, database_url, f"tool 1.0 {phase}")
                    await until(lambda w=worker: not w.process.is_alive(), PATIENCE)  # type: ignore[misc]
                assert (await task())["blocked_on"] == "children"
                assert (await post("tasks/2/answer", {"answer": "red"}))["status"] == "done"
                starts = servers[0].starts
                servers[0].kill()
                await until(lambda: servers[0].starts > starts, PATIENCE)
                await ready(servers, client, 1)
                assert (await task())["status"] == "todo"
                async with runner(tmp_path / "runner", database_url):

                    async def done() -> bool:
                        return bool((await task())["status"] == "done")

                    await eventually(done, PATIENCE)
                assert (await task())["result"] == "It is red now."
                assert (await client.get(f"{squad}/tasks/3")).status_code == 404
    (child,) = told(served.calls[-1].body)["children"]
    assert (child["title"], child["by"], child["result"]) == ("Blue or red?", "owner", "red")


async def test_what_a_dead_runner_held_is_taken_back_while_no_server_runs(database: Database, tmp_path: Path) -> None:
    team = await found(database, 0, lease_seconds=LEASE)

    async def look() -> checkers.State:
        return await asyncio.to_thread(checkers.state, team.url, team.squad.id)

    async with StandIn() as served, hosting.outside() as outside:
        await hosting.host(database, team, "ada", served.url, outside.url)
        await database.transact(tasks.create, team.owner, team.squad, [TaskNew(title="begin it")])
        with Crew(tmp_path / "crew") as crew:
            worker = await asyncio.to_thread(crew.start, dying.run, team.url, "answer 1 begun")
            await until(lambda: not worker.process.is_alive(), PATIENCE)
        async with runner(tmp_path / "runner", team.url):

            async def done() -> bool:
                return (await look()).with_status("done") == [1]

            await eventually(done, PATIENCE)
    assert [attempt["outcome"] for attempt in (await look()).attempts][:1] == ["lapsed"]


async def test_a_drained_runner_gives_back_what_hangs_and_another_one_goes_on(
    database: Database, tmp_path: Path
) -> None:
    team = await found(database, 0, lease_seconds=60)
    async with StandIn(lambda _: {"text": "After all."}) as served, hosting.outside() as outside:
        await hosting.host(database, team, "ada", served.url, outside.url)
        served.script.append({"hang": "headers"})
        await database.transact(tasks.create, team.owner, team.squad, [TaskNew(title="wait for it")])
        async with runner(tmp_path / "first", team.url) as first:
            await asyncio.wait_for(served.arrivals.get(), PATIENCE)
            async with runner(tmp_path / "second", team.url):
                began = time.monotonic()
                first.send_signal(signal.SIGTERM)
                await until(lambda: first.poll() is not None, PATIENCE)
                took = time.monotonic() - began

                async def look() -> checkers.State:
                    return await asyncio.to_thread(checkers.state, team.url, team.squad.id)

                async def done() -> bool:
                    return (await look()).with_status("done") == [1]

                await eventually(done, PATIENCE)
                after = await look()
    assert first.returncode == 0
    assert (after.tasks[1]["result"], after.tasks[1]["tries_left"]) == ("After all.", 100)
    assert [attempt["outcome"] for attempt in after.attempts] == ["released", "completed"]
    assert [(step["kind"], step["state"]) for step in hosting.steps(after)] == [
        ("prompt", "finished"),
        ("answer", "unknown"),
        ("answer", "finished"),
    ]
    assert len(served.calls) == 2
    assert hosting.misbooked(after) == []
    assert checkers.torn(after) == []
    say(f"hosted: a runner with a call that hangs ended {took:.1f} s after SIGTERM ({runners.GRACE:.0f} s of grace)")
