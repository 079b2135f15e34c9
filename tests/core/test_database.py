import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import asyncpg
import httpx
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import InvalidRequestError, MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker
from starlette.requests import HTTPConnection

from backend.core import database as database_module
from backend.core import schema, settings
from backend.core.database import (
    DOORBELL,
    Database,
    close_db,
    get_db,
    get_db_context,
    get_sync_db,
    get_sync_db_context,
    init_db,
)
from backend.core.embedded import Cluster
from backend.core.errors import NotFound, Overloaded, StartError
from backend.core.settings import Settings
from backend.models import User
from tests.wire import relayed

NOTES = "CREATE TABLE notes (id int PRIMARY KEY, body text NOT NULL)"


async def write(session: AsyncSession, statement: str, /, **values: object) -> None:
    await session.execute(text(statement), values)


async def run(database: Database, statement: str, **values: object) -> None:
    await database.transact(write, statement, **values)


async def bodies(database: Database) -> list[str]:
    async with database.AsyncSessionLocal() as session:
        return list(await session.scalars(text("SELECT body FROM notes ORDER BY id")))


async def overload(database: Database, operation: Callable[[AsyncSession], Awaitable[object]]) -> str:
    with pytest.raises(Overloaded) as refused:
        await database.transact(operation)
    return refused.value.detail


async def end_all_connections(database: Database) -> None:
    address = database.address
    other = await asyncpg.connect(address.for_async().render_as_string(hide_password=False).replace("+asyncpg", ""))
    await other.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await other.close()


@pytest.fixture
async def notes(database: Database) -> Database:
    await run(database, NOTES)
    await run(database, "INSERT INTO notes VALUES (1, 'one'), (2, 'two')")
    return database


# transact


async def test_transact_commits_and_answers(notes: Database) -> None:
    async def count(session: AsyncSession, body: str) -> int:
        await write(session, "INSERT INTO notes VALUES (3, :body)", body=body)
        return int(await session.scalar(text("SELECT count(*) FROM notes")) or 0)

    assert await notes.transact(count, "three") == 3
    assert await bodies(notes) == ["one", "two", "three"]


async def test_an_error_rolls_back_and_arrives_as_it_was(notes: Database) -> None:
    refused = NotFound("Task not found")

    async def fail(session: AsyncSession) -> None:
        await write(session, "DELETE FROM notes")
        raise refused

    with pytest.raises(NotFound) as caught:
        await notes.transact(fail)
    assert caught.value is refused
    assert caught.value.__cause__ is None
    assert await bodies(notes) == ["one", "two"]


async def test_an_error_of_the_operation_that_is_not_the_databases_stays_what_it_is(notes: Database) -> None:
    async def fail(_session: AsyncSession) -> None:
        raise PermissionError("key")

    with pytest.raises(PermissionError):
        await notes.transact(fail)


async def test_a_cancelled_caller_tears_no_transaction(notes: Database) -> None:
    started = asyncio.Event()

    async def slow(session: AsyncSession) -> None:
        await write(session, "INSERT INTO notes VALUES (3, 'three')")
        started.set()
        await asyncio.sleep(0.1)
        await write(session, "INSERT INTO notes VALUES (4, 'four')")

    caller = asyncio.create_task(notes.transact(slow))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await bodies(notes) == ["one", "two"]
    await notes.close()
    assert await bodies(notes) == ["one", "two", "three", "four"]


@pytest.mark.parametrize(("error", "lines"), [(NotFound("Task not found"), 0), (ZeroDivisionError(), 1)])
async def test_of_what_fails_after_the_caller_left_only_defects_are_logged(
    notes: Database, caplog: pytest.LogCaptureFixture, error: Exception, lines: int
) -> None:
    async def slow(_session: AsyncSession) -> None:
        await asyncio.sleep(0.05)
        raise error

    caller = asyncio.create_task(notes.transact(slow))
    await asyncio.sleep(0.01)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await notes.close()
    gc.collect()
    assert [record.message for record in caplog.records] == ["A transaction failed after its caller had left."] * lines


async def both_at_once(
    database: Database, *operations: Callable[[AsyncSession], Awaitable[None]]
) -> list[AsyncSession]:
    """Two operations that meet once, between their two halves; answers the sessions that they were given."""
    sessions: list[AsyncSession] = []

    async def one(session: AsyncSession, operation: Callable[[AsyncSession], Awaitable[None]]) -> None:
        sessions.append(session)
        await operation(session)

    await asyncio.gather(*(database.transact(one, operation) for operation in operations))
    return sessions


async def test_a_deadlock_runs_again_with_a_new_session(notes: Database) -> None:
    meeting = asyncio.Barrier(2)
    met = set()

    def swap(first: int, second: int) -> Callable[[AsyncSession], Awaitable[None]]:
        async def operation(session: AsyncSession) -> None:
            await write(session, "SET LOCAL deadlock_timeout = '10ms'")
            await write(session, "UPDATE notes SET body = body || '!' WHERE id = :id", id=first)
            if first not in met:
                met.add(first)
                await meeting.wait()
            await write(session, "UPDATE notes SET body = body || '!' WHERE id = :id", id=second)

        return operation

    sessions = await both_at_once(notes, swap(1, 2), swap(2, 1))
    assert len(sessions) == len(set(map(id, sessions))) == 3
    assert await bodies(notes) == ["one!!", "two!!"]


async def test_a_serialization_failure_runs_again(notes: Database) -> None:
    meeting = asyncio.Barrier(2)
    met = set()

    def add(number: int) -> Callable[[AsyncSession], Awaitable[None]]:
        async def operation(session: AsyncSession) -> None:
            await write(session, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            seen = await session.scalar(text("SELECT count(*) FROM notes"))
            if number not in met:
                met.add(number)
                await meeting.wait()
            await write(session, "INSERT INTO notes VALUES (:id, :body)", id=number, body=f"after {seen}")

        return operation

    sessions = await both_at_once(notes, add(3), add(4))
    assert len(sessions) == 3
    assert sorted((await bodies(notes))[2:]) == ["after 2", "after 3"]


async def test_a_plan_made_stale_by_a_migration_runs_again(notes: Database) -> None:
    tries: list[int] = []

    async def everything(session: AsyncSession) -> int:
        tries.append(1)
        return len((await session.execute(text("SELECT * FROM notes"))).first() or ())

    assert await notes.transact(everything) == 2
    await run(notes, "ALTER TABLE notes ADD COLUMN at timestamptz")
    assert await notes.transact(everything) == 3
    assert len(tries) == 3


async def test_three_tries_at_most(database: Database) -> None:
    sessions: list[AsyncSession] = []

    async def unlucky(session: AsyncSession) -> None:
        sessions.append(session)
        await write(session, "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$")

    assert "try again" in await overload(database, unlucky)
    assert len(sessions) == 3


async def test_other_failures_are_not_repeated(database: Database) -> None:
    sessions: list[AsyncSession] = []

    async def wrong(session: AsyncSession) -> None:
        sessions.append(session)
        await write(session, "SELECT raise_error('not_found', 'Task not found', '{\"task\": 7}')")

    with pytest.raises(NotFound) as refused:
        await database.transact(wrong)
    assert (refused.value.detail, refused.value.fields) == ("Task not found", {"task": 7})
    assert len(sessions) == 1


async def test_a_lock_that_is_not_had_in_time_is_overload(notes: Database) -> None:
    async def locked(session: AsyncSession) -> None:
        await write(session, "SET LOCAL lock_timeout = '30ms'")
        await write(session, "UPDATE notes SET body = '' WHERE id = 1")

    async with notes.AsyncSessionLocal() as other:
        await write(other, "SELECT FROM notes WHERE id = 1 FOR UPDATE")
        assert "Somebody else is writing" in await overload(notes, locked)
    await notes.transact(locked)


async def test_a_statement_that_takes_too_long_is_overload(database: Database) -> None:
    async def slow(session: AsyncSession) -> None:
        await write(session, "SET LOCAL statement_timeout = '30ms'")
        await write(session, "SELECT pg_sleep(5)")

    assert "too long" in await overload(database, slow)


async def test_a_transaction_that_stands_still_is_ended(notes: Database) -> None:
    async def frozen(session: AsyncSession) -> None:
        await write(session, "SET LOCAL idle_in_transaction_session_timeout = '30ms'")
        await write(session, "DELETE FROM notes")
        await asyncio.sleep(0.2)
        await write(session, "SELECT 1")

    await overload(notes, frozen)
    assert await bodies(notes) == ["one", "two"]


async def test_no_connection_within_a_second_is_overload(make_database: Callable[..., Database]) -> None:
    database = make_database(SQUAD_POOL_SIZE=1, SQUAD_READ_CONNECTIONS=1)
    async with AsyncExitStack() as held:
        for _ in range(1 + 1 + DOORBELL):
            session = await held.enter_async_context(database.AsyncSessionLocal())
            await session.execute(text("SELECT 1"))
        began = time.monotonic()
        assert "busy" in await overload(database, lambda session: session.execute(text("SELECT 1")))
        assert 0.9 < time.monotonic() - began < 2
    await database.close()


async def test_a_server_that_is_gone_is_overload(database_url: str) -> None:
    async with relayed(database_url) as relay:
        database = Database(Settings(DATABASE_URL=relay.url()))
        await run(database, "SELECT 1")
    await overload(database, lambda session: session.execute(text("SELECT 1")))
    with pytest.raises(Overloaded):
        await database.reads.row(schema.current)
    await database.close()


# connections


async def test_connections_have_utc_and_three_timeouts(database: Database) -> None:
    names = ("TimeZone", "idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout")
    asked = select(*(func.current_setting(name) for name in names))
    async with database.AsyncSessionLocal() as session:
        assert tuple((await session.execute(asked)).one()) == ("UTC", "5s", "3s", "15s")
    with database.SyncSessionLocal() as sync_session:
        assert tuple(sync_session.execute(asked).one()) == ("UTC", "5s", "3s", "15s")


async def test_a_restart_between_two_uses_is_not_noticed(notes: Database) -> None:
    for _ in range(3):
        assert await bodies(notes) == ["one", "two"]
        assert await notes.reads.row(schema.current) is not None
        with notes.SyncSessionLocal() as session:
            assert session.scalar(text("SELECT count(*) FROM notes")) == 2
        await end_all_connections(notes)
    await run(notes, "DELETE FROM notes")
    assert await bodies(notes) == []


async def test_what_another_event_loop_uses_is_refused(database: Database) -> None:
    async def use() -> None:
        async with database.async_engine.connect():
            pass

    await database.reads.row(schema.current)
    for attempt in (use(), database.reads.row(schema.current), database.close()):
        with pytest.raises(InvalidRequestError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, attempt)
    assert await database.reads.row(schema.current) is not None


async def test_what_was_not_loaded_fails_loudly(database: Database) -> None:
    async with database.AsyncSessionLocal() as session:
        user = User(email="ada@example.org")
        session.add(user)
        await session.commit()
        session.expire(user)
        with pytest.raises(MissingGreenlet):
            _ = user.name


# the requirement's names


def request_to(database: Database) -> HTTPConnection:
    return HTTPConnection({"type": "http", "app": application(database)})


@pytest.fixture
def default(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process's default instance is on the test's database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    settings.default.cache_clear()
    database_module.default.cache_clear()
    yield
    settings.default.cache_clear()
    database_module.default.cache_clear()


@pytest.mark.usefixtures("default")
async def test_the_module_level_names() -> None:
    await init_db()
    assert isinstance(database_module.async_engine, AsyncEngine)
    assert isinstance(database_module.sync_engine, Engine)
    assert isinstance(database_module.AsyncSessionLocal, async_sessionmaker)
    assert isinstance(database_module.SyncSessionLocal, sessionmaker)
    assert database_module.async_engine is database_module.default().async_engine
    with pytest.raises(AttributeError):
        _ = database_module.engine
    async with get_db_context() as db:
        db.add(User(email="ada@example.org"))
        await db.commit()
    with get_sync_db_context() as sync_db:
        assert sync_db.scalar(select(func.count(User.id))) == 1
    await close_db()


@pytest.mark.usefixtures("default")
async def test_get_db_outside_a_request() -> None:
    async for db in get_db():
        db.add(User(email="ada@example.org"))
        await db.flush()
    for sync_db in get_sync_db():
        assert sync_db.scalar(select(func.count(User.id))) == 0
    await close_db()


async def test_an_error_in_the_block_rolls_back_and_gives_the_connection_back(database: Database) -> None:
    async def fail() -> None:
        async with get_db_context(request_to(database)) as db:
            db.add(User(email="ada@example.org"))
            await db.flush()
            raise ZeroDivisionError

    def fail_sync() -> None:
        with get_sync_db_context(request_to(database)) as db:
            db.add(User(email="ada@example.org"))
            db.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    with pytest.raises(ZeroDivisionError):
        fail_sync()
    assert checked_out(database) == (0, 0)
    with get_sync_db_context(request_to(database)) as db:
        assert db.scalar(select(func.count(User.id))) == 0


async def test_init_db_says_what_is_wrong() -> None:
    away = Database(Settings(DATABASE_URL="postgresql://ada:s3cret@127.0.0.1:1/board"))
    with pytest.raises(StartError, match="can't be reached") as refused:
        await init_db(away)
    assert "s3cret" not in refused.value.detail
    await close_db(away)


def application(database: Database) -> FastAPI:
    app = FastAPI()
    app.state.database = database

    @app.post("/users/{email}")
    async def add(email: str, commit: bool, db: Annotated[AsyncSession, Depends(get_db)]) -> None:
        db.add(User(email=email))
        await db.flush()
        if commit:
            await db.commit()

    @app.get("/users")
    async def everybody(db: Annotated[AsyncSession, Depends(get_db)]) -> list[str]:
        return list(await db.scalars(select(User.email).order_by(User.email)))

    @app.get("/sync-users")
    def everybody_sync(db: Annotated[Session, Depends(get_sync_db)]) -> list[str]:
        return list(db.scalars(select(User.email).order_by(User.email)))

    return app


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application(database))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_in_a_route_get_db_serves_the_applications_own_instance(
    client: httpx.AsyncClient, database: Database
) -> None:
    assert (await client.post("/users/ada@example.org?commit=true")).status_code == 200
    assert (await client.post("/users/bob@example.org?commit=false")).status_code == 200
    assert (await client.get("/users")).json() == ["ada@example.org"]
    assert (await client.get("/sync-users")).json() == ["ada@example.org"]
    assert checked_out(database) == (0, 0)


async def test_cancelled_sessions_give_their_connections_back(database: Database) -> None:
    async def reader() -> None:
        async with get_db_context(request_to(database)) as db:
            await db.execute(text("SELECT pg_sleep(1)"))

    for delay in range(40):
        task = asyncio.create_task(reader())
        await asyncio.sleep(delay / 2000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert checked_out(database)[0] == 0
    async with get_db_context(request_to(database)) as db:
        assert await db.scalar(text("SELECT 1")) == 1


def checked_out(database: Database) -> tuple[int, int]:
    return database.async_engine.pool.checkedout(), database.sync_engine.pool.checkedout()  # type: ignore[attr-defined]


# a process of its own, with a bundled server of its own


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("own") / "home"
    yield home
    Cluster(home).destroy()


def process(home: Path, script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"SQUAD_HOME": str(home), "PATH": "/usr/bin:/bin"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_importing_opens_starts_and_asks_nothing(tmp_path: Path) -> None:
    script = """
import sys, threading
import backend.models
from backend.core.database import AsyncSessionLocal, async_engine, get_db, init_db, sync_engine
assert "passfile" in async_engine.url.query and "passfile" in sync_engine.url.query
assert threading.active_count() == 1
assert "backend.core.bulk" not in sys.modules
"""
    process(tmp_path / "home", script)
    assert not (tmp_path / "home").exists()


FIRST = """
import asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from backend.core.database import async_engine, sync_engine

async def ask(engine):
    async with engine.connect() as connection:
        return await connection.scalar(text("SELECT 'async'"))

def ask_sync():
    with sync_engine.connect() as connection:
        return connection.scalar(text("SELECT 'sync'"))
"""


def test_the_first_connection_starts_the_bundled_server(home: Path) -> None:
    assert not Cluster(home).running()
    assert process(home, FIRST + "print(asyncio.run(ask(async_engine)))") == "async"
    Cluster(home).stop()
    assert process(home, FIRST + "print(ask_sync())") == "sync"
    assert process(home, FIRST + "print(asyncio.run(ask(create_async_engine(async_engine.url))))") == "async"


@pytest.mark.parametrize("last", ["await close_db()", "pass"])
def test_a_second_asyncio_run_in_one_process_works(home: Path, last: str) -> None:
    script = f"""
import asyncio
from sqlalchemy import text
from backend.core import database
from backend.core.database import AsyncSessionLocal, close_db, init_db
from backend.core.schema import current

async def main():
    await init_db()
    row = await database.default().reads.row(current)
    async with AsyncSessionLocal() as session:
        print(await session.scalar(text("SELECT version_num FROM alembic_version")) == row["version_num"])
    {last}

for _ in range(3):
    asyncio.run(main())
asyncio.run(close_db())
"""
    assert process(home, script).split() == ["True"] * 3
