"""A runner is killed at every point of a long task of a hosted member: it is finished, and nothing is done twice."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.tasks import Task, TaskNew
from backend.core.database import Database
from backend.core.settings import Settings
from backend.operations import tasks
from tests import defects
from tests.campaigns import checkers, dying, hosting
from tests.campaigns.crew import Crew, Team, Worker, eventually, found, say, until
from tests.campaigns.hosting import Model, Outside
from tests.conftest import SCALE, new_database
from tests.runner.standin import StandIn

AT_ONCE = 5  # tasks under way; of the points of one tool, which exclude each other, each is another task's
PATIENCE = 60.0  # seconds in which a runner gets to its point many times over
LEASE = 600  # seconds: the test ends the leases of the dead, and a busy machine ends nobody's


@dataclass
class Ordeal:
    """One task, in a database of its own, at which one runner dies after another."""

    database: Database
    team: Team
    crew: Crew
    model: Model
    outside: Outside
    wrong: str | None
    crashes: list[str] = field(default_factory=list)
    worker: Worker | None = None
    point: str | None = None  # where it dies

    async def run(self, points: Iterable[str]) -> None:
        """Let a runner die at each of the points, and the last one finish."""
        for point in points:
            self.crashes.append(point)
            await self._start(point)
            await until(self._is_dead, PATIENCE)
            await self.database.transact(end_leases, self.team.squad.id)
        await self._start(None)
        await eventually(self._is_done, PATIENCE)
        assert self.worker
        self.worker.process.kill()

    def killing(self, place: str) -> None:
        """End whoever asks, if it is to die while it waits for the answer."""
        if self.worker and self.point == f"{place} asked":
            self.worker.process.kill()
            self.worker.process.join()

    async def _start(self, point: str | None) -> None:
        self.point = point
        self.worker = await asyncio.to_thread(self.crew.start, dying.run, self.team.url, point, self.wrong)

    def _is_dead(self) -> bool:
        return self.worker is not None and not self.worker.process.is_alive()

    async def _is_done(self) -> bool:
        value = await self.database.reads.value(tasks.get, self.team.owner, self.team.squad, 1)
        return value is not None and Task.model_validate_json(value).status == "done"


@asynccontextmanager
async def cloned(server_url: str, template: str) -> AsyncIterator[str]:
    """A database of its own; whatever else happens in this process doesn't wait for the making."""
    making = new_database(server_url, template)
    url = await asyncio.to_thread(making.__enter__)
    try:
        yield url
    finally:
        await asyncio.to_thread(making.__exit__, None, None, None)


async def end_leases(session: AsyncSession, squad: Any) -> None:
    """Take back what is held, as if the leases had ended just now."""
    values = {"squad": squad}
    await session.execute(text("SELECT FROM squads WHERE id = :squad FOR NO KEY UPDATE"), values)
    over = "UPDATE tasks SET lease_ends_at = clock_timestamp() WHERE squad_id = :squad AND holder_id IS NOT NULL"
    await session.execute(text(over), values)
    await tasks.lapse(session, squad)


@dataclass
class Ordeals:
    """Where they are gone through.

    Args:
        server_url: a PostgreSQL.
        template: the name of a database at head.
        folder: for the crews.
    """

    server_url: str
    template: str
    folder: Path
    calls: int = 0
    steps: int = 0

    async def wrong(
        self, points: Iterable[str], wrong: str | None = None, defect: list[str] | None = None
    ) -> list[str]:
        """Go through one; answers what was wrong in the end.

        Args:
            points: where the runners die.
            wrong: what is wrong with each of them.
            defect: functions of the database that are wrong.
        """
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(cloned(self.server_url, self.template))
            database = Database(Settings(DATABASE_URL=url, SQUAD_POOL_SIZE=2, SQUAD_READ_CONNECTIONS=1))
            stack.push_async_callback(database.close)
            if defect:
                await database.transact(defects.install, defect)
            team = await found(database, 0, lease_seconds=LEASE)
            crew = stack.enter_context(Crew(self.folder / team.url.rpartition("/")[2]))
            model = Model()
            ordeal = Ordeal(database, team, crew, model, await stack.enter_async_context(hosting.outside()), wrong)
            served = await stack.enter_async_context(StandIn(model))
            model.on_asked = ordeal.outside.on_press = ordeal.killing
            await hosting.host(database, team, "ada", served.url, ordeal.outside.url)
            await database.transact(tasks.create, team.owner, team.squad, [TaskNew(title="all of it")])
            await ordeal.run(points)
            after = await asyncio.to_thread(checkers.state, url, team.squad.id)
            self.calls += len(served.calls)
            self.steps += len(hosting.steps(after))
            return hosting.wrong(after, model, ordeal.outside, ordeal.crashes)


@pytest.fixture
def ordeals(server_url: str, template: str, tmp_path: Path) -> Ordeals:
    """Where to go through them."""
    return Ordeals(server_url, template, tmp_path)


async def test_a_crash_at_any_point_costs_nothing_twice(ordeals: Ordeals) -> None:
    points = hosting.points() if SCALE >= 10 else hosting.some(hosting.points())
    chains = [points[start::AT_ONCE] for start in range(AT_ONCE)]
    if SCALE >= 10:
        chains += [[point] for point in points]
    turn = asyncio.Semaphore(AT_ONCE)
    began = time.monotonic()

    async def go(chain: list[str]) -> list[str]:
        async with turn:
            return await ordeals.wrong(chain)

    async with asyncio.TaskGroup() as group:
        going = [group.create_task(go(chain)) for chain in chains]
    assert [task.result() for task in going] == [[]] * len(chains)
    crashes = Counter(point.rpartition(" ")[2] for chain in chains for point in chain)
    answers = len(hosting.PLAN) * len(chains)
    say(
        f"hosted: {len(chains)} tasks, {len(points)} points, {crashes.total()} crashes ({dict(crashes)}), "
        f"{ordeals.steps} steps, {ordeals.calls} calls for {answers} answers, in {time.monotonic() - began:.0f} s"
    )


CONTROLS = [
    ("in two transactions", ["tool 1.0 acting"], "#1 made"),
    ("forgetful", ["answer 4 ended"], "answer 1 was asked for 2 times"),
    ("stubborn", ["tool 3.0 ending"], "first was pressed 2 times"),
]


@pytest.mark.parametrize(("wrong", "points", "said"), CONTROLS)
async def test_control_a_wrong_runner_is_found(ordeals: Ordeals, wrong: str, points: list[str], said: str) -> None:
    sentences = await ordeals.wrong(points, wrong)
    assert any(sentence.startswith(said) for sentence in sentences), sentences
    say(f"hosted, control: {wrong}: {len(sentences)} things are wrong")


async def test_control_a_reservation_that_nobody_settles_is_found(ordeals: Ordeals) -> None:
    careless = defects.changed("reserve_step", ("PERFORM settle_step(s, NULL, NULL);", "NULL;"))
    sentences = await ordeals.wrong(["answer 2 begun"], defect=careless)
    assert any(sentence.startswith("budget 1 reserves") for sentence in sentences), sentences
