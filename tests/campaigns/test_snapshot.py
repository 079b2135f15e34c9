"""A forgotten transaction holds an old snapshot, so that no dead row can be removed, while the board is worked on."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg2
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.tasks import CompleteNew, TaskNew
from backend.core.database import Database
from backend.operations import members, tasks
from backend.operations.access import Actor
from tests.campaigns.crew import Crew, Journal, Team, eventually, found, say
from tests.conftest import SCALE
from tests.defects import changed, install

SQUADS: Final = 8 if SCALE >= 10 else 4
PROCESSES: Final = 2
RATE: Final = 62.5  # tasks a second and squad
BATCH: Final = 10
EARLY: Final = 15  # tasks of a squad, while whose board is almost empty; PostgreSQL keeps the plans that it makes then
LATER: Final = 300  # that nobody takes
SECONDS: Final = 120 if SCALE >= 10 else 4
LEAST: Final = 0 if SCALE >= 10 else 300 * SQUADS  # tasks of a stretch, however busy the machine is
STEPS: Final = 80  # entries of one index that a task may take from its creation to its end; a mark is 50 behind
ENTRIES: Final = "SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE relname IN ('tasks', 'attempts')"


async def work(journal: Journal, teams: list[Team], seconds: float) -> None:
    """Make, claim and complete the tasks of several squads at a steady rate; notes how long each took."""

    async def one(database: Database, team: Team) -> None:
        batch = [TaskNew(title="x", role="worker")] * BATCH
        began = time.monotonic()
        turn = 0
        while time.monotonic() < began + seconds:
            if turn % BATCH == 0:
                await database.transact(tasks.create, team.owner, team.squad, batch)
            if turn == EARLY:
                await database.transact(
                    tasks.create, team.owner, team.squad, [TaskNew(title="x", role="later")] * LATER
                )
            started = time.monotonic()
            claimed = await database.transact(tasks.claim, team.members[0], team.squad)
            held = time.monotonic()
            claim = orjson.loads(claimed or "")["items"][0]
            number, given = claim["task"]["number"], CompleteNew(claim=claim["claim"])
            resumed = time.monotonic()
            await database.transact(tasks.complete, team.members[0], team.squad, number, given)
            ended = time.monotonic()
            journal.note("took", at=ended, claim=1000 * (held - started), complete=1000 * (ended - resumed))
            turn += 1
            await asyncio.sleep(max(0.0, began + turn / RATE - time.monotonic()))

    async with teams[0].database(len(teams)) as database:
        await asyncio.gather(*[one(database, team) for team in teams])


@dataclass
class Stretch:
    """What was done between two moments, and how many entries of each index were read for one task."""

    took: list[dict[str, Any]]
    seconds: float
    entries: dict[str, float]

    def figures(self) -> str:
        """Rate, and the median and mean of both."""
        parts = [f"{len(self.took) / self.seconds:.0f} tasks a second"]
        for what in ("claim", "complete"):
            times = [note[what] for note in self.took]
            parts.append(f"{what} median {statistics.median(times):.2f} ms, mean {statistics.fmean(times):.2f} ms")
        return "; ".join(parts)

    def long_ways(self) -> list[str]:
        """Indexes of which more is read for a task than a fixed number of entries, whatever the board holds."""
        return [f"{index}: {steps:.0f}" for index, steps in self.entries.items() if steps > STEPS]


def loss(without: Stretch, held: Stretch, what: str) -> str:
    """By how much longer it takes."""
    means = [statistics.fmean(note[what] for note in stretch.took) for stretch in (without, held)]
    medians = [statistics.median(note[what] for note in stretch.took) for stretch in (without, held)]
    return f"{what} {medians[1] / medians[0] - 1:+.0%} (median), {means[1] / means[0] - 1:+.0%} (mean)"


@contextmanager
def old_snapshot(url: str) -> Iterator[None]:
    """A transaction that has seen the board as it was, and is forgotten."""
    with closing(psycopg2.connect(url)) as connection:
        connection.set_session(isolation_level="REPEATABLE READ")
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM squads")
        yield


async def founded(database: Database, number: int) -> Team:
    """A squad with one worker."""
    team = await found(database, 0, name=f"squad{number}", lease_seconds=60)
    new = MemberNew(name="worker", role="worker")
    member = await database.transact(members.add, team.owner, team.squad, new)
    return replace(team, members=(Actor(member_id=member, squad_id=team.squad.id),))


async def campaign(database: Database, folder: Path, *stretches: bool) -> list[Stretch]:
    """Work for a stretch of time with an old snapshot held, or without, or for several such stretches."""
    teams = [await founded(database, number) for number in range(SQUADS)]
    with Crew(folder) as crew:
        for process in range(PROCESSES):
            crew.start(work, teams[process::PROCESSES], 3 * SECONDS + 60)

        async def all_work() -> bool:
            return all(len(worker.notes("took")) > 2 * EARLY * SQUADS / PROCESSES for worker in crew.workers)

        async def stretch() -> Stretch:
            before, began = await entries(database), time.monotonic()
            await asyncio.sleep(SECONDS)
            while sum(note["at"] >= began for note in crew.notes("took")) < LEAST:
                assert time.monotonic() < began + 10 * SECONDS
                await asyncio.sleep(0.3)
            after, ended = await entries(database), time.monotonic()
            took = [note for note in crew.notes("took") if began <= note["at"] < ended]
            read = {index: (after[index] - before[index]) / len(took) for index in after}
            return Stretch(took, ended - began, read)

        await eventually(all_work, 60)
        done = []
        for held in stretches:
            with old_snapshot(database.url) if held else nullcontext():
                done.append(await stretch())
        assert all(worker.process.is_alive() for worker in crew.workers)
    return done


async def entries(database: Database) -> dict[str, int]:
    """How many entries were read of each index of the board; PostgreSQL counts with a second's delay."""
    async with database.async_engine.connect() as connection:
        return {row.indexrelname: row.idx_tup_read for row in await connection.execute(text(ENTRIES))}


async def test_an_old_snapshot_makes_no_way_longer(database: Database, tmp_path: Path) -> None:
    without, held = await campaign(database, tmp_path / "crew", False, True)
    say(f"snapshot, without: {without.figures()}")
    say(f"snapshot, held for {SECONDS} s: {held.figures()}")
    read = ", ".join(f"{steps:.0f} of {index}" for index, steps in held.entries.items() if steps > 1)
    say(f"snapshot: {loss(without, held, 'claim')}; {loss(without, held, 'complete')}; entries for a task: {read}")
    assert without.long_ways() == []
    assert held.long_ways() == []


async def installed(session: AsyncSession, functions: list[str]) -> None:
    """Install functions with a defect, on a board whose dead rows stay."""
    await session.execute(text("ALTER TABLE tasks SET (autovacuum_enabled = off)"))
    await install(session, functions)


async def test_control_a_lease_that_is_looked_for_by_number_is_a_long_way(database: Database, tmp_path: Path) -> None:
    await database.transact(installed, changed("lapse_tasks", ("ORDER BY lease_ends_at)", "ORDER BY number)")))
    (without,) = await campaign(database, tmp_path / "crew", False)
    assert [sentence.partition(":")[0] for sentence in without.long_ways()] == ["pk_tasks"]
    say(f"snapshot, control: {without.long_ways()[0]} entries for a task")


async def test_control_without_marks_an_old_snapshot_makes_the_way_longer(database: Database, tmp_path: Path) -> None:
    await database.transact(installed, changed("claim_tasks", ("v_mark.number + 100", "v_mark.number + 1000000")))
    (held,) = await campaign(database, tmp_path / "crew", True)
    assert [sentence.partition(":")[0] for sentence in held.long_ways()] == ["ix_tasks_claim_role"]
    say(f"snapshot, control: {held.long_ways()[0]} entries for a task")
