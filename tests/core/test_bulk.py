import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core import bulk
from backend.core.database import Database
from backend.models import Member, Squad, User
from backend.models.base import new_id

COLUMNS = ["id", "email", "name"]


def people(count: int) -> Iterator[tuple[object, ...]]:
    return ((new_id(), f"{number}@copy.test", f"Person {number}") for number in range(count))


async def users(database: Database) -> int:
    async with database.AsyncSessionLocal() as session:
        return await session.scalar(select(func.count()).select_from(User)) or 0


async def test_ten_thousand_rows_are_committed(database: Database) -> None:
    assert await database.transact(bulk.copy_rows, User, people(10_000), COLUMNS) == 10_000
    async with database.AsyncSessionLocal() as session:
        user = (await session.scalars(select(User).where(User.email == "77@copy.test"))).one()
        assert (user.name, user.is_active, user.is_admin) == ("Person 77", True, False)
        assert user.created_at is not None
    assert await users(database) == 10_000


async def test_rollback_takes_them_back(database: Database) -> None:
    async with database.AsyncSessionLocal() as session:
        assert await bulk.copy_rows(session, User, people(10), COLUMNS) == 10
        assert await session.scalar(select(func.count()).select_from(User)) == 10
        await session.rollback()
    assert await users(database) == 0


async def test_they_may_refer_to_pending_objects(async_db: AsyncSession) -> None:
    owner = User(id=new_id(), email="owner@copy.test")
    squad = Squad(id=new_id(), owner_id=owner.id, name="copied")
    async_db.add(owner)
    await async_db.flush()
    async_db.add(squad)
    rows = [(squad.id, new_id(), name) for name in ("ada", "tess")]
    assert await bulk.copy_rows(async_db, Member, rows, ["squad_id", "id", "name"]) == 2
    await async_db.commit()
    names = await async_db.scalars(select(Member.name).where(Member.squad_id == squad.id).order_by(Member.name))
    assert names.all() == ["ada", "tess"]


async def test_no_rows_are_no_error(async_db: AsyncSession) -> None:
    assert await bulk.copy_rows(async_db, User, [], COLUMNS) == 0


async def test_rows_may_come_one_by_one(database: Database) -> None:
    async def slowly() -> AsyncIterator[tuple[object, ...]]:
        for row in people(3):
            await asyncio.sleep(0)
            yield row

    assert await database.transact(bulk.copy_rows, User, slowly(), COLUMNS) == 3
    assert await users(database) == 3


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ((new_id(), None, ""), asyncpg.NotNullViolationError),
        ((new_id(), "1@COPY.test", ""), asyncpg.UniqueViolationError),
        (("no id", "a@copy.test", ""), ValueError),
        ((new_id(), "a@copy.test"), IndexError),
        ((new_id(), "a@copy.test", 7), TypeError),
    ],
)
async def test_a_bad_row_spoils_all(database: Database, bad: tuple[object, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        await database.transact(bulk.copy_rows, User, [*people(10), bad], COLUMNS)
    assert await users(database) == 0
    assert await database.transact(bulk.copy_rows, User, people(10), COLUMNS) == 10


async def test_an_unknown_column_is_refused(database: Database) -> None:
    with pytest.raises(asyncpg.UndefinedColumnError):
        await database.transact(bulk.copy_rows, User, [(1,)], ["nonsense"])


async def test_cancelled_halfway_nothing_is_kept_and_the_pool_stays_whole(database: Database) -> None:
    halfway = asyncio.Event()

    async def stuck() -> AsyncIterator[tuple[object, ...]]:
        for row in people(5_000):
            yield row
        halfway.set()
        await asyncio.Event().wait()

    async def copy() -> None:
        async with database.AsyncSessionLocal() as session, session.begin():
            await bulk.copy_rows(session, User, stuck(), COLUMNS)

    for _ in range(20):  # more often than the pool has connections
        halfway.clear()
        task = asyncio.create_task(copy())
        await halfway.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await users(database) == 0
    assert await database.transact(bulk.copy_rows, User, people(10), COLUMNS) == 10
