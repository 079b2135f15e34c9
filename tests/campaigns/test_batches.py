"""Batches made at once by several processes: the numbers are 1 … n, each given once."""

import asyncio
import random
from pathlib import Path

import orjson

from agentsquad.schemas.tasks import TaskNew
from backend.core.database import Database
from backend.operations import tasks
from tests.campaigns import checkers
from tests.campaigns.crew import Crew, Journal, Team, found, patiently, say
from tests.conftest import SCALE
from tests.defects import changed, install

PROCESSES = 4
EACH = 3  # makers in one process
BATCHES = 12 * SCALE  # of one maker

TAKEN = "IF p_lock THEN"


def lock_last() -> list[str]:
    """`enter_squad` that locks nothing, and `create_tasks` that locks when the numbers have been given."""
    late = "BEGIN\n    PERFORM FROM squads WHERE id = p_squad FOR NO KEY UPDATE;"
    return changed("enter_squad", (TAKEN, "IF false THEN")) + changed("create_tasks", ("BEGIN", late))


async def work(journal: Journal, team: Team, seed: int, batches: int) -> None:
    """Make batches of any size, chained within."""

    async def one(database: Database, chance: random.Random, name: str) -> None:
        for turn in range(batches):
            titles = [f"{name}/{turn}/{n}" for n in range(chance.randint(1, 12))]
            batch = [
                TaskNew(title=title, key=f"k{n}", depends_on=[f"k{n - 1}"] if n else [])
                for n, title in enumerate(titles)
            ]
            try:
                made = await patiently(
                    lambda b=batch: database.transact(tasks.create, team.owner, team.squad, b)  # type: ignore[misc]
                )
            except Exception as error:  # noqa: BLE001  (whatever it is, the checker hears of it)
                journal.note("broke", error=type(error).__name__)
                continue
            journal.note("created", tasks=[(task["number"], task["title"]) for task in orjson.loads(made)["items"]])

    async with team.database(EACH) as database:
        await asyncio.gather(*[one(database, random.Random(seed + n), f"{seed}.{n}") for n in range(EACH)])


async def campaign(database: Database, folder: Path) -> tuple[checkers.State, list[str]]:
    """Make all batches; answers what is there, and what is wrong with it."""
    team = await found(database, 0)
    with Crew(folder) as crew:
        for index in range(PROCESSES):
            crew.start(work, team, 100 * index, BATCHES)
        await crew.finish(60 * SCALE)
        assert len(crew.notes()) == PROCESSES * EACH * BATCHES
    after = checkers.state(team.url, team.squad.id)
    return after, checkers.misnumbered(after, crew.notes())


async def test_numbers_are_given_once_and_without_a_gap(database: Database, tmp_path: Path) -> None:
    after, wrong = await campaign(database, tmp_path / "crew")
    assert wrong == []
    assert checkers.torn(after) == []
    chained = [number for number, task in after.tasks.items() if task["status"] == "blocked"]
    assert all(after.tasks[number]["depends_on"] == [number - 1] for number in chained)
    made = PROCESSES * EACH * BATCHES
    say(f"batches: {PROCESSES * EACH} makers, {made} batches, {len(after.tasks)} tasks, 0 numbers twice, 0 gaps")


async def test_control_with_the_lock_taken_last_batches_break(database: Database, tmp_path: Path) -> None:
    await database.transact(install, lock_last())
    _, wrong = await campaign(database, tmp_path / "crew")
    assert any("broke: IntegrityError" in sentence for sentence in wrong)
    say(f"batches, control: with the lock taken last {len(wrong)} violations")
