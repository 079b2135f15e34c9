import asyncpg
import psycopg2
import pytest
from sqlalchemy import Engine, exc, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core import failures
from backend.core.database import Database
from backend.core.errors import LostClaim, Overloaded, SquadError

RAISES = "SELECT raise_error('lost_claim', 'Too late.', '{\"task\": 7}')"


@pytest.fixture
def sync_engine(database: Database) -> Engine:
    return database.sync_engine


def of_sync(engine: Engine, statement: str) -> exc.DBAPIError:
    with engine.connect() as connection, pytest.raises(exc.DBAPIError) as refused:
        connection.execute(text(statement))
    return refused.value


async def of_async(session: AsyncSession, statement: str) -> exc.DBAPIError:
    with pytest.raises(exc.DBAPIError) as refused:
        await session.execute(text(statement))
    return refused.value


async def test_an_error_of_ours_reads_the_same_through_both_drivers(
    async_db: AsyncSession, sync_engine: Engine
) -> None:
    for error in (await of_async(async_db, RAISES), of_sync(sync_engine, RAISES)):
        ours = failures.translated(error)
        assert isinstance(ours, LostClaim)
        assert (ours.detail, ours.fields) == ("Too late.", {"task": 7})


async def test_a_defect_stays_what_it_is(async_db: AsyncSession, sync_engine: Engine) -> None:
    for error in (await of_async(async_db, "SELECT 1 / 0"), of_sync(sync_engine, "SELECT 1 / 0")):
        assert failures.sqlstate(error) == "22012"
        assert failures.translated(error) is error
        with pytest.raises(exc.DBAPIError) as passed, failures.translating:
            raise error
        assert passed.value.__cause__ is not error


async def test_a_value_that_asyncpg_refuses_is_no_lost_connection(async_db: AsyncSession) -> None:
    with pytest.raises(exc.DBAPIError) as refused:
        await async_db.execute(text("SELECT CAST(:n AS int)"), {"n": "seven"})
    assert not failures.connection_lost(refused.value)
    assert not failures.connection_lost(asyncpg.InterfaceError("another operation is in progress"))


async def test_a_file_that_is_missing_is_no_lost_connection() -> None:
    error = FileNotFoundError("key")
    assert failures.translated(error) is error


def test_a_server_that_is_away_is_overload_through_psycopg2_too() -> None:
    with pytest.raises(psycopg2.OperationalError) as refused:
        psycopg2.connect("postgresql://127.0.0.1:1/nothing?connect_timeout=2")
    wrapped = exc.OperationalError(None, None, refused.value)
    assert isinstance(failures.translated(wrapped), Overloaded)


@pytest.mark.parametrize("state", ["25P03", "40001", "40P01", "53300", "55P03", "57014", "57P01", "08006"])
def test_what_may_succeed_later_is_overload(state: str) -> None:
    error = asyncpg.PostgresError.new({"C": state, "M": "…", "S": "ERROR"})
    meaning = failures.translated(error)
    assert isinstance(meaning, Overloaded)
    assert isinstance(meaning, SquadError)
    assert meaning.detail.endswith(".")
