"""A frozen process, or a PostgreSQL that dies, stops nobody for longer than the timeouts say."""

import asyncio
import os
import signal
import time
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.tasks import TaskNew
from backend.core.database import Database
from backend.core.embedded import Cluster, server
from backend.core.errors import Overloaded
from backend.core.settings import Settings
from backend.operations import access, tasks
from backend.operations.tasks import Wanted
from tests.campaigns import checkers
from tests.campaigns.bundled import cluster_in, end_postmaster
from tests.campaigns.crew import Crew, Journal, Team, found, patiently, say, until
from tests.conftest import SCALE

LOCK_WAIT = 3.0  # seconds that PostgreSQL waits for one lock; a row that several wait for takes two of them
FROZEN_AT_MOST = 5.0
SLACK = 1.0
WITHOUT_TIMEOUTS = "options=-c%20idle_in_transaction_session_timeout%3D0"


async def freeze(journal: Journal, team: Team) -> None:
    """Take the squad's lock, write, and never come to the commit."""

    async def write(session: AsyncSession) -> None:
        await access.enter(session, team.owner, team.squad)
        await tasks.create(session, team.owner, team.squad, [TaskNew(title="never")])
        journal.note("locked")
        await asyncio.sleep(0.5)

    async with team.database() as database:
        try:
            await database.transact(write)
            journal.note("committed")
        except Overloaded as error:
            journal.note("ended", detail=error.detail)


@dataclass
class Witness:
    """Whoever writes to a squad meanwhile: how long each try took, and when one succeeded again."""

    waits: list[float]
    resumed: float | None = None

    async def write(self, database: Database, team: Team, seconds: float) -> None:
        """Try until it works."""
        began = time.monotonic()
        while self.resumed is None and time.monotonic() - began < seconds:
            tried = time.monotonic()
            with suppress(Overloaded):
                await database.transact(tasks.create, team.owner, team.squad, [TaskNew(title="meanwhile")])
                self.resumed = time.monotonic() - began
            self.waits.append(time.monotonic() - tried)


def held_up(witness: Witness) -> list[str]:
    """What was longer than it may be."""
    wrong = [f"a try took {wait:.1f} s" for wait in witness.waits if wait > FROZEN_AT_MOST + SLACK]
    if witness.resumed is None or witness.resumed > FROZEN_AT_MOST + SLACK:
        wrong.append(f"the squad went on after {witness.resumed} s")
    return wrong


async def test_a_frozen_server_process_holds_a_squad_for_five_seconds(database: Database, tmp_path: Path) -> None:
    """And the control: one whose connections have no such timeout holds another squad until it is gone."""
    team, other = await found(database, 0, name="frozen"), await found(database, 0, name="free")
    held = await found(database, 0, name="held")
    careless = replace(held, url=f"{held.url}{'&' if '?' in held.url else '?'}{WITHOUT_TIMEOUTS}")
    with Crew(tmp_path / "crew") as crew:
        frozen = [crew.start(freeze, team), crew.start(freeze, careless)]
        for worker in frozen:
            await until(lambda w=worker: w.notes("locked"), 10)  # type: ignore[misc]
            worker.signal(signal.SIGSTOP)
        witnesses = [Witness([]) for _ in range(3)]
        control = Witness([])
        slowest = 0.0

        async def bystander() -> None:
            """Reads, and another squad's writes, notice nothing."""
            nonlocal slowest
            while True:
                began = time.monotonic()
                assert await database.reads.json(tasks.board, team.owner, team.squad) is not None
                await database.transact(tasks.create, other.owner, other.squad, [TaskNew(title="x")])
                slowest = max(slowest, time.monotonic() - began)
                await asyncio.sleep(0.1)

        standing_by = asyncio.create_task(bystander())
        writers = [witness.write(database, team, 8) for witness in witnesses]
        await asyncio.gather(*writers, control.write(database, held, 6.5))
        assert not standing_by.done()
        standing_by.cancel()
        await asyncio.wait([standing_by])
        for worker in frozen:
            worker.signal(signal.SIGCONT)
        await crew.finish(20)
        assert [note["what"] for note in frozen[0].notes()] == ["locked", "ended"]
        assert [note["what"] for note in frozen[1].notes()] == ["locked", "committed"]
    assert [held_up(witness) for witness in witnesses] == [[]] * 3
    assert held_up(control) != []
    assert slowest < SLACK
    after = checkers.state(team.url, team.squad.id)
    assert checkers.torn(after) == []
    assert {task["title"] for task in after.tasks.values()} == {"meanwhile"}
    waits = [wait for witness in witnesses for wait in witness.waits]
    assert any(LOCK_WAIT <= wait <= LOCK_WAIT + SLACK for wait in waits)  # and was answered with Overloaded
    say(
        f"frozen: others waited {max(waits):.1f} s at most and went on after "
        f"{max(w.resumed or 0 for w in witnesses):.1f} s; bystanders {slowest * 1000:.0f} ms; control: held on"
    )


async def load(database: Database, team: Team, notes: list[dict[str, Any]], pauses: list[float]) -> None:
    """Write and read without an end; what fails is tried again, and the longest pause is remembered."""
    last = time.monotonic()
    while True:
        title = f"{len(notes)}.{id(pauses)}"
        try:
            made = await database.transact(tasks.create, team.owner, team.squad, [TaskNew(title=title)])
            assert await database.reads.json(tasks.page(), team.owner, team.squad, Wanted(), 0, 5) is not None
        except Overloaded:
            await asyncio.sleep(0.05)
            continue
        number = int(made.partition('"number": ')[2].partition(",")[0])
        notes.append({"what": "created", "tasks": [(number, title)]})
        pauses.append(time.monotonic() - last)
        last = time.monotonic()
        await asyncio.sleep(0.01)


async def restarted(cluster: Cluster, how: int, ensured: bool) -> tuple[int, float]:
    """End PostgreSQL under load, see it all go on; answers acknowledged writes, and the longest pause."""
    database = Database(Settings(DATABASE_URL="", SQUAD_HOME=cluster.home))
    try:
        team = await found(database, 0, name=f"load-{how}-{ensured}")
        notes: list[dict[str, Any]] = []
        pauses: list[list[float]] = [[] for _ in range(8)]
        loads = [asyncio.create_task(load(database, team, notes, own)) for own in pauses]
        for _ in range(SCALE):
            await asyncio.sleep(0.5)
            before = [len(own) for own in pauses]
            await asyncio.to_thread(end_postmaster, cluster, how)
            if ensured:
                await asyncio.to_thread(cluster.ensure)
            await until(lambda b=before: all(len(own) > n + 3 for n, own in zip(b, pauses, strict=True)), 30)  # type: ignore[misc]
        assert not any(task.done() for task in loads)
        for task in loads:
            task.cancel()
        await asyncio.wait(loads)
        after = await patiently(lambda: asyncio.to_thread(checkers.state, team.url, team.squad.id))
        assert checkers.unkept(after, notes) == []
        assert checkers.torn(after) == []
        return len(notes), max(max(own) for own in pauses)
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("how", "ensured"), [(signal.SIGKILL, False), (signal.SIGQUIT, True)], ids=["killed", "stopped"]
)
async def test_reads_and_writes_go_on_when_postgresql_was_restarted(tmp_path: Path, how: int, ensured: bool) -> None:
    """Killed, the application's next connection starts it; stopped at once, somebody else does."""
    with cluster_in(tmp_path / "own") as cluster:
        maker = Database(Settings(DATABASE_URL="", SQUAD_HOME=cluster.home))
        await maker.open()
        await maker.close()
        amount, pause = await restarted(cluster, how, ensured)
    by = "another process" if ensured else "the next connection"
    say(f"frozen: PostgreSQL ended and started by {by}: {amount} writes kept, the longest pause {pause:.1f} s")


async def test_a_postgresql_that_recovers_from_a_crash_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FAST_SECONDS", 1)
    with cluster_in(tmp_path / "own") as cluster:
        with closing(psycopg2.connect(cluster.url)) as victim:
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            await until(lambda: "was interrupted" in cluster.log.read_text(), 10)
            assert await asyncio.to_thread(cluster.stop)
        assert not cluster.running()
        await asyncio.to_thread(cluster.ensure)
        assert cluster.running()
