"""At most one attempt at a task is live, and only the live one can write: workers sleep through leases and die."""

import asyncio
import random
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.tasks import CompleteNew, TaskNew
from backend import sweeper
from backend.core.database import Database
from backend.core.errors import LostClaim
from backend.operations import tasks
from tests.campaigns import checkers
from tests.campaigns.crew import Crew, Journal, Team, Worker, eventually, found, patiently, say, torment
from tests.conftest import SCALE

PROCESSES = 12
VICTIMS = PROCESSES // 3

# Takes any attempt of any member at any time.
NO_FENCE = """
CREATE OR REPLACE FUNCTION hold_task(
    p_squad uuid, p_member uuid, p_number int, p_attempt int, p_statuses text[]
)
RETURNS tasks LANGUAGE sql AS $$
    SELECT * FROM tasks WHERE squad_id = p_squad AND number = p_number FOR NO KEY UPDATE
$$
"""


async def work(journal: Journal, team: Team, index: int, seed: int) -> None:
    """Claim, take some time, complete, for ever."""
    chance = random.Random(seed)
    actor = team.members[index]
    async with team.database() as database:
        while True:
            claimed = await patiently(lambda: database.transact(tasks.claim, actor, team.squad))
            if claimed is None:
                await asyncio.sleep(0.1)
                continue
            claim = orjson.loads(claimed)["items"][0]
            number, attempt = claim["task"]["number"], claim["task"]["attempt"]
            await asyncio.sleep(chance.uniform(0.05, 0.45))
            result = {"by": f"{index}/{seed}/{claim['claim']}"}
            given = CompleteNew(claim=claim["claim"], result=result)
            try:
                await patiently(lambda n=number, g=given: database.transact(tasks.complete, actor, team.squad, n, g))  # type: ignore[misc]
                what = "completed"
            except LostClaim:
                what = "refused"
            journal.note(what, task=number, attempt=attempt, result=result)


async def campaign(database: Database, folder: Path, amount: int, seconds: float) -> tuple[checkers.State, Crew, Any]:
    """Get that many tasks done by workers a third of whom are tormented."""
    team = await found(database, PROCESSES)
    await database.transact(tasks.create, team.owner, team.squad, [TaskNew(title=f"{n}") for n in range(amount)])
    counts = {"stopped": 0, "killed": 0}
    with Crew(folder) as crew:
        sweeping = asyncio.create_task(sweeper.run(database))
        for index in range(VICTIMS, PROCESSES):
            crew.start(work, team, index, index)

        def start(index: int, seed: int) -> Worker:
            return crew.start(work, team, index, seed)

        tormentors = [asyncio.create_task(torment(start, index, counts)) for index in range(VICTIMS)]

        async def ended() -> bool:
            async with database.AsyncSessionLocal() as session:
                left = text("SELECT count(*) FROM tasks WHERE status NOT IN ('done', 'failed')")
                return not await session.scalar(left)

        await eventually(lambda: patiently(ended), seconds)
        for task in (sweeping, *tormentors):
            task.cancel()
        await asyncio.wait([sweeping, *tormentors])
        await asyncio.sleep(0.6)  # the last ones to wake still try to write
    return checkers.state(team.url, team.squad.id), crew, counts


async def unfence(session: AsyncSession) -> None:
    """Let every holder write, whatever became of its claim."""
    await session.execute(text(NO_FENCE))


def held(after: checkers.State, notes: list[dict[str, Any]], stopped: int) -> str:
    """Nothing was lost or done twice, although some woke too late; in words."""
    assert checkers.unfenced(after, notes) == []
    assert checkers.unfinished(after) == []
    assert checkers.torn(after) == []
    late = sum(note["what"] == "refused" for note in notes)
    lapsed = sum(event["kind"] == "task.lapsed" for event in after.events)
    assert late >= stopped // 4 > 0
    assert set(after.completions.values()) == {1}
    return f"{lapsed} lapsed, {late} late writers refused, 0 double completions"


async def test_no_task_is_lost_or_done_twice(database: Database, tmp_path: Path) -> None:
    amount = 200 * SCALE
    after, crew, counts = await campaign(database, tmp_path / "crew", amount, 60 * SCALE)
    say(
        f"fenced: {PROCESSES} processes, {amount} tasks, {counts['stopped']} stopped, {counts['killed']} killed, "
        f"{held(after, crew.notes(), counts['stopped'])}"
    )


async def test_control_without_the_fence_the_checker_finds_it(database: Database, tmp_path: Path) -> None:
    await database.transact(unfence)
    after, crew, counts = await campaign(database, tmp_path / "crew", 100, 60)
    wrong = checkers.unfenced(after, crew.notes())
    assert any("times" in sentence for sentence in wrong)
    say(f"fenced, control: without the fence {len(wrong)} violations after {counts['stopped']} stops")
