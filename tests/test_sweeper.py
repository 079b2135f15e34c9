"""The sweeper on a database of its own, with somebody in its way."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import text

from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import TaskNew
from backend import sweeper
from backend.core.database import Database
from backend.operations import squads, tasks
from backend.operations.access import SquadRef
from tests.operations.scene import account

HELD = "SELECT count(*) FROM tasks WHERE squad_id = :squad AND status = 'in_progress'"


@pytest.fixture
async def lapsed(database: Database) -> list[SquadRef]:
    """Two squads with a lease each that is over, in the sweeper's order."""
    made = {}
    async with database.AsyncSessionLocal() as db, db.begin():
        owner = await account(db, "owner@example.com")
        for name in ("one", "two"):
            squad = SquadRef(await squads.create(db, owner, SquadNew(name=name)), None)
            await tasks.create(db, owner, squad, [TaskNew(title="x")])
            assert await tasks.claim(db, owner, squad) is not None
            made[squad.id] = squad
        # A person's lease has no end by itself.
        await db.execute(text("UPDATE tasks SET lease_ends_at = clock_timestamp()"))
    return [made[row["squad_id"]] for row in await database.reads.rows(tasks.over)]


@contextlib.asynccontextmanager
async def sweeping(database: Database) -> AsyncIterator[None]:
    running = asyncio.create_task(sweeper.run(database))
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


async def until(holds: Callable[[], Awaitable[bool]], patience: float) -> None:
    ends = time.monotonic() + patience
    while not await holds():
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


def swept(database: Database, squad: SquadRef) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        async with database.AsyncSessionLocal() as db:
            return bool(await db.scalar(text(HELD), {"squad": squad.id}) == 0)

    return asked


@pytest.mark.parametrize(
    "lock",
    [
        "SELECT FROM tasks WHERE squad_id = :squad FOR UPDATE",
        "SELECT FROM squads WHERE id = :squad FOR UPDATE",
    ],
)
async def test_a_squad_that_cannot_be_swept_keeps_no_other_waiting(
    database: Database, lapsed: list[SquadRef], lock: str
) -> None:
    first, second = lapsed
    async with database.AsyncSessionLocal() as other:
        await other.execute(text(lock), {"squad": first.id})
        async with sweeping(database):
            await until(swept(database, second), 2)
            assert not await swept(database, first)()
            await other.rollback()
            await until(swept(database, first), 2)


async def test_a_defect_in_one_squad_is_its_own(
    database: Database, lapsed: list[SquadRef], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = lapsed
    sound = tasks.lapse

    async def lapse(session: object, squad_id: object) -> int:
        if squad_id == first.id:
            raise RuntimeError("a defect")
        return await sound(session, squad_id)  # type: ignore[arg-type]  # what the sweeper gave

    monkeypatch.setattr(tasks, "lapse", lapse)
    async with sweeping(database):
        await until(swept(database, second), 2)
    assert f"Leases of the squad {first.id} could not be swept." in caplog.text
