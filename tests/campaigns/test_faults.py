"""What was answered with success is there after every kill of a worker, of a server, of PostgreSQL."""

import asyncio
import contextlib
import itertools
import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg2
import pytest

from agentsquad.schemas.tasks import TaskNew
from backend.core.database import Database
from backend.core.embedded import Cluster
from backend.core.errors import Overloaded
from backend.core.settings import Settings
from backend.operations import tasks
from tests.campaigns import checkers
from tests.campaigns.bundled import cluster_in, end_backend, end_postmaster
from tests.campaigns.crew import Crew, Journal, Worker, eventually, found, patiently, say, until
from tests.conftest import SCALE

WORKERS = 4
SERVERS = 2
FAULTS = ["worker"] * 8 + ["server"] * 6 + ["postmaster"] * 4 + ["backend"] * 3


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A home folder with a PostgreSQL of its own, which the servers start again when it is killed."""
    with cluster_in(tmp_path_factory.mktemp("faults") / "home") as cluster:
        yield cluster


@dataclass
class Server:
    """A real server process on a port, started again whenever it dies."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def keep(self) -> None:
        """Start it, and start it again."""
        environment = {"PATH": os.environ["PATH"], "SQUAD_HOME": str(self.home), "DATABASE_URL": ""}
        command = [sys.executable, "-m", "agentsquad", "serve", "--port", str(self.port)]
        with (self.home.parent / f"{self.port}.log").open("ab") as log:
            while True:
                self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: ASYNC220
                self.starts += 1
                await until(lambda: self.process is None or self.process.poll() is not None, math.inf)

    def kill(self) -> None:
        """End it, hard."""
        if self.process is not None:
            self.process.kill()

    async def ready(self, client: httpx.AsyncClient) -> bool:
        """Whether it answers, from its database."""
        with contextlib.suppress(httpx.TransportError):
            return (await client.get(f"{self.url}/ready")).status_code == 200
        return False


def free_port() -> int:
    """A port that nobody uses."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Line:
    """One worker's way to the servers: another one when one fails, and again until there is an answer."""

    def __init__(self, urls: list[str], squad: str, token: str, chance: random.Random) -> None:
        self._client = httpx.AsyncClient(timeout=10, headers={"Authorization": f"Bearer {token}"})
        self._urls = itertools.cycle(chance.sample(urls, len(urls)))
        self._url = next(self._urls)
        self._squad = squad

    async def post(self, path: str, body: object = None, *, repeat: bool = True) -> httpx.Response | None:
        """The first answer that is one; None if there was none and the request isn't to be repeated."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self._client.post(f"{self._url}/squads/{self._squad}/{path}", json=body)
                if answer.status_code < 500:
                    return answer
                assert answer.status_code == 503, answer.text
            self._url = next(self._urls)
            await asyncio.sleep(0.05)
            if not repeat:
                return None


async def work(journal: Journal, urls: list[str], squad: str, token: str, name: str) -> None:
    """Create, claim, complete, for ever; write down every answer with success."""
    chance = random.Random(name)
    line = Line(urls, squad, token, chance)
    for turn in itertools.count():
        titles = [f"{name}/{turn}/{n}" for n in range(chance.randint(1, 2))]
        batch = [
            {"title": title, "key": f"k{n}", "depends_on": [f"k{n - 1}"] if n else []} for n, title in enumerate(titles)
        ]
        made = await line.post("tasks", {"tasks": batch}, repeat=False)
        if made is not None:
            assert made.status_code == 201, made.text
            journal.note("created", tasks=[(task["number"], task["title"]) for task in made.json()["items"]])
        answer = await line.post("tasks/claim", repeat=False)
        if answer is None:
            continue
        assert answer.status_code == 200, answer.text
        for claim in answer.json()["items"]:
            task = claim["task"]
            number, attempt = task["number"], task["attempt"]
            journal.note("claimed", task=number, attempt=attempt, ends=task["lease_ends_at"])
            await asyncio.sleep(chance.uniform(0.05, 0.2))
            result = {"by": name, "turn": turn}
            done = await line.post(f"tasks/{number}/complete", {"claim": claim["claim"], "result": result})
            assert done is not None
            assert done.status_code in (200, 409), done.text
            what = "completed" if done.status_code == 200 else "refused"
            journal.note(what, task=number, attempt=attempt, result=result)


@dataclass
class Stage:
    """Servers, workers, and whoever ends them."""

    cluster: Cluster
    servers: list[Server]
    crew: Crew
    client: httpx.AsyncClient
    chance: random.Random
    squad: str = ""
    tokens: list[str] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)

    async def ready(self, least: int) -> None:
        """Wait until that many servers serve."""

        async def enough() -> bool:
            return sum([await server.ready(self.client) for server in self.servers]) >= least

        await eventually(enough, 30)

    async def set(self) -> None:
        """Make the squad over HTTP, and start its workers."""
        key = (self.cluster.home / "key").read_text().strip()
        self.client.headers["Authorization"] = f"Bearer {key}"

        async def post(path: str, body: object) -> dict[str, Any]:
            answer = await self.client.post(self.servers[0].url + path, json=body)
            assert answer.status_code == 201, answer.text
            made: dict[str, Any] = answer.json()
            return made

        new = {"name": "faults", "lease_seconds": 1, "max_tries": 100}
        self.squad = (await post("/squads", new))["id"]
        for index in range(WORKERS):
            await post(f"/squads/{self.squad}/members", {"name": f"m{index}"})
            token = await post(f"/squads/{self.squad}/members/m{index}/tokens", {})
            self.tokens.append(token["secret"])
            self.workers.append(self.start(index))

    def start(self, index: int) -> Worker:
        """A worker process."""
        name = f"m{index}.{len(self.crew.workers)}"
        return self.crew.start(work, [server.url for server in self.servers], self.squad, self.tokens[index], name)

    async def fault(self, kind: str) -> float:
        """Let it happen, and wait until there is a server that serves; answers how long there was none."""
        began, clock = time.time(), time.monotonic()
        match kind:
            case "worker":
                index = self.chance.randrange(WORKERS)
                self.workers[index].signal(signal.SIGKILL)
                self.workers[index] = self.start(index)
            case "server":
                self.chance.choice(self.servers).kill()
            case "postmaster":
                end_postmaster(self.cluster)
            case _:
                end_backend(self.cluster, self.chance)
        await asyncio.sleep(0.03)
        await self.ready(1)
        if kind != "worker":
            self.outages.append((began, time.time()))
        return time.monotonic() - clock

    async def look(self) -> tuple[checkers.State, list[dict[str, Any]]]:
        """What was acknowledged until now, and then what is there."""
        notes = self.crew.notes()
        return await asyncio.to_thread(checkers.state, self.cluster.url, UUID(self.squad)), notes


@asynccontextmanager
async def stage(cluster: Cluster, folder: Path) -> AsyncIterator[Stage]:
    """Everything in its place; nothing of it outlives the block."""
    servers = [Server(cluster.home, free_port()) for _ in range(SERVERS)]
    keeping = [asyncio.create_task(server.keep()) for server in servers]
    async with httpx.AsyncClient(timeout=10) as client:
        try:
            with Crew(folder) as crew:
                made = Stage(cluster, servers, crew, client, random.Random())
                await made.ready(SERVERS)
                await made.set()
                yield made
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.wait(keeping)
            for server in servers:
                server.kill()
                if server.process is not None:
                    server.process.wait()


async def test_nothing_that_was_accepted_is_lost(home: Cluster, tmp_path: Path) -> None:
    recoveries: dict[str, list[float]] = {kind: [] for kind in dict.fromkeys(FAULTS)}
    async with stage(home, tmp_path / "crew") as on:
        faults = FAULTS * SCALE
        on.chance.shuffle(faults)
        for number, kind in enumerate(faults):
            await asyncio.sleep(on.chance.uniform(0.2, 0.6))
            recoveries[kind].append(await on.fault(kind))
            after, notes = await on.look()
            at = f"after fault {number}, {kind}"
            assert checkers.unkept(after, notes) == [], at
            assert checkers.unfenced(after, []) == [], at
            assert checkers.torn(after) == [], at
            assert checkers.stuck(after) == [], at
        dead = [worker for worker in on.workers if not worker.process.is_alive()]
        assert dead == []  # none met an answer that it had not expected
        await on.ready(SERVERS)
        for worker in on.workers:
            worker.signal(signal.SIGKILL)
        await asyncio.sleep(2.0)
        after, notes = await on.look()
        restarts = sum(server.starts for server in on.servers) - SERVERS
        page = await on.client.get(f"{on.servers[0].url}/squads/{on.squad}/events", params={"limit": 200})
    assert [event["position"] for event in page.json()["items"]] == list(range(1, page.json()["last"] + 1))
    assert after.with_status("in_progress") == []  # the servers alone have taken back what the last ones held
    assert checkers.unkept(after, notes) == []
    assert checkers.torn(after) == []
    lapses = checkers.lapses(after, notes, on.outages)
    assert checkers.late(lapses) == []
    assert checkers.late([(claim, seconds + 1.0) for claim, seconds in lapses]) != []  # the control
    counts = {what: sum(note["what"] == what for note in notes) for what in ("created", "claimed", "completed")}
    assert min(counts.values()) > len(faults)
    longest = ", ".join(f"{kind} {max(times):.1f} s" for kind, times in recoveries.items())
    say(
        f"faults: {len(faults)} ({restarts} servers started again), {len(after.tasks)} tasks, {len(after.events)} "
        f"events, {sum(counts.values())} answers kept of {counts}, {len(lapses)} lapsed "
        f"{max(seconds for _, seconds in lapses):.2f} s after their lease at most; longest without a server: {longest}"
    )


async def test_control_without_synchronous_commits_answers_are_lost(home: Cluster) -> None:
    def careless(value: str) -> None:
        with closing(psycopg2.connect(home.url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(f"ALTER SYSTEM SET synchronous_commit = {value}")
            cursor.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
            cursor.execute("SELECT pg_reload_conf()")

    database = Database(Settings(DATABASE_URL="", SQUAD_HOME=home.home))
    await database.open()
    try:
        team = await found(database, 0, name="careless")
        await asyncio.to_thread(careless, "off")
        await asyncio.sleep(0.3)
        notes: list[dict[str, Any]] = []

        async def load(name: int) -> None:
            for turn in itertools.count():
                title = f"{name}/{turn}"
                try:
                    made = await database.transact(tasks.create, team.owner, team.squad, [TaskNew(title=title)])
                except Overloaded:
                    return
                number = int(made.partition('"number": ')[2].partition(",")[0])
                notes.append({"what": "created", "tasks": [(number, title)]})

        loads = [asyncio.create_task(load(name)) for name in range(4)]
        await until(lambda: len(notes) > 50, 10)
        await asyncio.to_thread(end_postmaster, home)
        for task in loads:
            task.cancel()
        await asyncio.wait(loads)
        await patiently(database.ready)
        after = await asyncio.to_thread(checkers.state, team.url, team.squad.id)
        wrong = checkers.unkept(after, notes)
        assert any("is gone" in sentence for sentence in wrong)
        say(f"faults, control: without synchronous commits {len(wrong)} of {len(notes)} answers are gone")
    finally:
        await asyncio.to_thread(careless, "on")
        await database.close()
