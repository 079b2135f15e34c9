"""What was answered with success is there after every kill of a worker, of a server, of PostgreSQL."""

import asyncio
import itertools
import random
import signal
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
from tests.campaigns.crew import Crew, Journal, Worker, found, say, until
from tests.campaigns.following import announce, follow
from tests.campaigns.serving import Line, Place, Server, ready, standing
from tests.conftest import SCALE

WORKERS = 4
SERVERS = 2
FAULTS = ["worker"] * 8 + ["server"] * 6 + ["postmaster"] * 4 + ["backend"] * 3
FOLLOWERS: list[dict[str, object]] = [{}] * 6 + [{"drops": 0.02}] * 2
DONE = {"complete": "completed", "release": "released", "accept": "accepted", "reject": "rejected"}
ANSWERS = ("created", "sent", "claimed", *DONE.values())
# Answers that nobody gave: whoever keeps the books has to find each of them.
FORGED: list[dict[str, Any]] = [
    {"what": "created", "tasks": [(10**6, "x")]},
    {"what": "sent", "position": 10**6, "body": "x"},
    {"what": "claimed", "task": 1, "attempt": 10**6},
    *[{"what": what, "task": 1, "attempt": 10**6, "result": None} for what in DONE.values()],
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A home folder with a PostgreSQL of its own, which the servers start again when it is killed."""
    with cluster_in(tmp_path_factory.mktemp("faults") / "home") as cluster:
        yield cluster


async def work(journal: Journal, place: Place, index: int, name: str) -> None:
    """Create, send, claim, and complete, release or review, for ever; write down every answer with success.

    Every request has a key, and is sent until there is an answer.
    """
    chance = random.Random(name)
    line = Line(place, place.tokens[index], chance)

    async def post(path: str, body: object, key: str, *expected: int) -> Any:
        answer = await line.post(path, body, key=f"{name}/{key}")
        assert answer is not None
        assert answer.status_code in expected, answer.text
        return answer.json() if answer.status_code != 409 else None

    for turn in itertools.count():
        batch: list[dict[str, Any]] = [
            {"title": f"{name}/{turn}/{n}", "key": f"k{n}", "depends_on": [f"k{n - 1}"] if n else []}
            for n in range(chance.randint(1, 2))
        ]
        if chance.random() < 0.4:
            batch[0]["review"] = ""
        made = await post("tasks", {"tasks": batch}, f"{turn}/create", 201)
        journal.note("created", tasks=[(task["number"], task["title"]) for task in made["items"]])
        if chance.random() < 0.3:
            sent = await post("messages", {"all": True, "body": f"{name}/{turn} says"}, f"{turn}/send", 201)
            journal.note("sent", position=sent["position"], body=sent["body"])
        for claim in (await post("tasks/claim", {"limit": 2}, f"{turn}/claim", 200))["items"]:
            number, attempt = claim["task"]["number"], claim["task"]["attempt"]
            journal.note("claimed", task=number, attempt=attempt, ends=claim["task"]["lease_ends_at"])
            await asyncio.sleep(chance.uniform(0.05, 0.2))
            result = {"by": name, "turn": turn, "task": number}
            verbs = ["accept", "reject"] if claim["kind"] == "review" else ["complete"] * 5 + ["release"]
            verb = chance.choice(verbs)
            bodies: dict[str, dict[str, Any]] = {
                "complete": {"result": result},
                "reject": {"note": f"{name}/{turn}/{number} no"},
            }
            more = bodies.get(verb, {})
            key = f"{turn}/{claim['claim']}"
            done = await post(f"tasks/{number}/{verb}", {"claim": claim["claim"], **more}, key, 200, 409)
            what = DONE[verb] if done is not None else "refused"
            journal.note(what, task=number, attempt=attempt, result=result)


def is_cut_off(connection: psycopg2.extensions.connection) -> bool:
    """Whether PostgreSQL has ended it."""
    try:
        connection.cursor().execute("SELECT 1")
    except psycopg2.Error:
        return True
    return False


@dataclass
class Stage:
    """Servers, workers, followers, and whoever ends them."""

    cluster: Cluster
    servers: list[Server]
    crew: Crew
    following: Crew
    client: httpx.AsyncClient
    chance: random.Random
    place: Place
    workers: list[Worker] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)

    @property
    def end(self) -> Path:
        """Where the last position is announced."""
        return self.following.folder / "end"

    def start(self, index: int) -> Worker:
        """A worker process."""
        return self.crew.start(work, self.place, index, f"m{index}.{len(self.crew.workers)}")

    async def fault(self, kind: str) -> float:
        """Let it happen, and wait until there is a server that serves; answers how long there was none."""
        began, clock = time.time(), time.monotonic()
        with closing(psycopg2.connect(self.cluster.url)) as witness:
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
            if kind in ("postmaster", "backend"):  # a server may answer once more before PostgreSQL has noticed
                await until(lambda: is_cut_off(witness), 10)
        await asyncio.sleep(0.03)
        await ready(self.servers, self.client, 1)
        if kind != "worker":
            self.outages.append((began, time.time()))
        return time.monotonic() - clock

    async def look(self) -> tuple[checkers.State, list[dict[str, Any]]]:
        """What was acknowledged until now, and then what is there."""
        notes = self.crew.notes()
        return await asyncio.to_thread(checkers.state, self.cluster.url, UUID(self.place.squad)), notes


@asynccontextmanager
async def stage(cluster: Cluster, folder: Path) -> AsyncIterator[Stage]:
    """Everything in its place and at work; nothing of it outlives the block."""
    async with standing(cluster.home, SERVERS) as servers, httpx.AsyncClient(timeout=10) as client:
        place = await Place.found(servers, "faults", WORKERS)
        client.headers["Authorization"] = f"Bearer {place.key}"
        with Crew(folder / "crew") as crew, Crew(folder / "followers") as following:
            made = Stage(cluster, servers, crew, following, client, random.Random(), place)
            following.start(follow, place, made.end, 0, FOLLOWERS)
            made.workers += [made.start(index) for index in range(WORKERS)]
            yield made


async def test_nothing_that_was_accepted_is_lost(home: Cluster, tmp_path: Path) -> None:
    recoveries: dict[str, list[float]] = {kind: [] for kind in dict.fromkeys(FAULTS)}
    async with stage(home, tmp_path) as on:
        faults = FAULTS * SCALE
        on.chance.shuffle(faults)
        for number, kind in enumerate(faults):
            await asyncio.sleep(on.chance.uniform(0.2, 0.6))
            recoveries[kind].append(await on.fault(kind))
            after, notes = await on.look()
            at = f"after fault {number}, {kind}"
            assert checkers.unkept(after, notes) == [], at
            assert checkers.unfenced(after, []) == [], at
            assert checkers.repeated(after) == [], at
            assert checkers.torn(after) == [], at
            assert checkers.stuck(after) == [], at
        dead = [worker for worker in [*on.workers, *on.following.workers] if not worker.process.is_alive()]
        assert dead == []  # none met an answer that it had not expected
        await ready(on.servers, on.client, SERVERS)
        for worker in on.workers:
            worker.signal(signal.SIGKILL)
        await asyncio.sleep(2.0)
        after, notes = await on.look()
        log = [event["position"] for event in after.events]
        announce(on.end, log[-1])
        await on.following.finish(30)
        seen = on.following.notes("seen")
        logs = "".join(server.log.read_text() for server in on.servers)
        restarts = sum(server.starts for server in on.servers) - SERVERS
    assert after.with_status("in_progress") == []  # the servers alone have taken back what the last ones held
    assert checkers.unkept(after, notes) == []
    assert checkers.torn(after) == []
    assert "Traceback" not in logs  # none of it was a defect
    assert [len(checkers.unkept(after, [forged])) for forged in FORGED] == [1] * len(FORGED)  # the control
    assert [checkers.missed(note["positions"], log) for note in seen] == [[]] * len(FOLLOWERS)
    assert checkers.missed([position for position in log if position != len(log) // 2], log) != []  # the control
    streams = sum(note["streams"] for note in seen)
    lapses = checkers.lapses(after, notes, on.outages)
    assert checkers.late(lapses) == []
    assert checkers.late([(claim, seconds + 1.0) for claim, seconds in lapses]) != []  # the control
    counts = {what: sum(note["what"] == what for note in notes) for what in ANSWERS}
    assert counts["completed"] > len(faults)
    assert min(counts.values()) > 0
    longest = ", ".join(f"{kind} {max(times):.1f} s" for kind, times in recoveries.items())
    say(
        f"faults: {len(faults)} ({restarts} servers started again), {len(after.tasks)} tasks, {len(after.events)} "
        f"events, {sum(counts.values())} answers kept of {counts}, {len(lapses)} lapsed "
        f"{max(seconds for _, seconds in lapses):.2f} s after their lease at most; {len(seen)} followers over "
        f"{streams} streams, 0 missed; longest without a server: {longest}"
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
        await asyncio.to_thread(home.ensure)  # `ready` could still be answered over a connection that lives on
        after = await asyncio.to_thread(checkers.state, team.url, team.squad.id)
        wrong = checkers.unkept(after, notes)
        assert any("is gone" in sentence for sentence in wrong)
        say(f"faults, control: without synchronous commits {len(wrong)} of {len(notes)} answers are gone")
    finally:
        await asyncio.to_thread(careless, "on")
        await database.close()
