"""The processes of a campaign: started from one preloaded fork server, stopped, woken and killed by the test.

What a worker has seen it writes to a journal of its own, a line at a time, so that a kill loses no line.
"""

import asyncio
import contextlib
import gc
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.squads import SquadNew
from backend.core.database import Database
from backend.core.errors import Overloaded
from backend.core.settings import Settings
from backend.models import User
from backend.operations import members, squads
from backend.operations.access import Actor, SquadRef

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["pytest", "httpx", "psycopg2", "mcp.client", "jsonschema", "backend.app", "backend.runner.runners"]
CONTEXT.set_forkserver_preload([*PRELOADED, "tests.campaigns.crew"])
NAP = 1.4  # seconds: longer than a lease


class Journal:
    """What a worker has seen, as lines of JSON."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, what: str, **fields: object) -> None:
        """Write one line, in one piece."""
        os.write(self._file, json.dumps({"what": what, **fields}).encode() + b"\n")


Work = Callable[..., Awaitable[None]]


def _main(work: Work, path: Path, args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # to look through all that is loaded for garbage would copy it into this process

    async def run() -> None:
        await work(Journal(path), *args)

    asyncio.run(run())


@dataclass
class Worker:
    """One process, and what it has written."""

    process: ForkServerProcess
    path: Path

    @property
    def pid(self) -> int:
        """Its id."""
        assert self.process.pid is not None
        return self.process.pid

    def notes(self, what: str | None = None) -> list[dict[str, Any]]:
        """The lines of its journal; one that a kill cut short doesn't count."""
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().split(b"\n")[:-1]
        return [note for note in map(json.loads, lines) if what in (None, note["what"])]

    def signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.process.is_alive():
            os.kill(self.pid, number)


@dataclass
class Crew:
    """All processes of one campaign; none of them outlives the block."""

    folder: Path
    workers: list[Worker] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join(10)
            worker.process.close()

    def start(self, work: Work, *args: object) -> Worker:
        """Run `work(journal, *args)` in a process of its own."""
        path = self.folder / f"{len(self.workers)}.jsonl"
        process = CONTEXT.Process(target=_main, args=(work, path, args), daemon=True)
        process.start()
        self.workers.append(Worker(process, path))
        return self.workers[-1]

    def notes(self, what: str | None = None) -> list[dict[str, Any]]:
        """What all of them have written."""
        return [note for worker in self.workers for note in worker.notes(what)]

    async def finish(self, seconds: float) -> None:
        """Wait until all have ended by themselves."""
        await until(lambda: not any(worker.process.is_alive() for worker in self.workers), seconds)
        assert {worker.process.exitcode for worker in self.workers} == {0}


async def torment(start: Callable[[int, int], Worker], index: int, counts: dict[str, int]) -> None:
    """Stop a worker past its lease and wake it, or kill it and start another, again and again.

    Args:
        start: starts a worker, by its index and a seed.
        index: of this one.
        counts: how often each was done, of all.
    """
    seed = index
    chance = random.Random(seed)
    victim = start(index, seed)
    try:
        while True:
            await asyncio.sleep(chance.uniform(0.2, 0.6))
            if chance.random() < 0.65:
                counts["stopped"] += 1
                victim.signal(signal.SIGSTOP)
                await asyncio.sleep(NAP)
                victim.signal(signal.SIGCONT)
            else:
                counts["killed"] += 1
                victim.signal(signal.SIGKILL)
                seed += 1000
                victim = start(index, seed)
    finally:
        victim.signal(signal.SIGCONT)


async def eventually(condition: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Wait for what another process does."""
    ends = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < ends, f"not within {seconds} s"
        await asyncio.sleep(0.02)


async def until(condition: Callable[[], object], seconds: float) -> None:
    """The same, where nothing is awaited to see it."""

    async def looked() -> object:
        return condition()

    await eventually(looked, seconds)


@dataclass(frozen=True)
class Team:
    """A squad of external members, as it can be handed to a process."""

    url: str
    squad: SquadRef
    owner: Actor
    members: tuple[Actor, ...]

    @asynccontextmanager
    async def database(self, size: int = 2) -> AsyncIterator[Database]:
        """A server process's own `Database`."""
        settings = Settings(DATABASE_URL=self.url, SQUAD_POOL_SIZE=size, SQUAD_READ_CONNECTIONS=size)
        database = Database(settings)
        try:
            yield database
        finally:
            await database.close()


async def found(database: Database, size: int, *, name: str = "crew", lease_seconds: int = 1) -> Team:
    """Make a squad of that many members, with short leases and no end of tries."""

    async def account(session: Any) -> Actor:
        user = User(email=f"{name}@example.com")
        session.add(user)
        await session.flush()
        return Actor(user_id=user.id)

    owner = await database.transact(account)
    new = SquadNew(name=name, lease_seconds=lease_seconds, max_tries=100)
    squad = SquadRef(await database.transact(squads.create, owner, new), None)
    people = []
    for number in range(size):
        member = await database.transact(members.add, owner, squad, MemberNew(name=f"m{number}"))
        people.append(Actor(member_id=member, squad_id=squad.id))
    return Team(database.url, squad, owner, tuple(people))


async def patiently(operation: Callable[[], Awaitable[Any]]) -> Any:
    """Do it again for as long as the database is overloaded, as every client does."""
    while True:
        with contextlib.suppress(Overloaded):
            return await operation()
        await asyncio.sleep(0.05)


def say(figures: str) -> None:
    """One line about how it went, for `pytest -s`."""
    sys.stdout.write(f"\n{figures}\n")
