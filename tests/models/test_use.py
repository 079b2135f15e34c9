"""What the data layer must be able to do, in async and in sync; and what the models promise."""

import asyncio
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, InvalidRequestError, MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, configure_mappers, load_only, selectinload

from backend.core.database import Database
from backend.core.settings import Settings
from backend.models import (
    Attempt,
    Base,
    Budget,
    Dependency,
    Event,
    Mark,
    Member,
    MemberToken,
    Message,
    Recipient,
    Squad,
    Step,
    Task,
    User,
)
from backend.models.base import new_id

REPOSITORY = Path(__file__).parents[2]
MANY = [{"email": f"user-{number:04}@example.org"} for number in range(1_500)]
BELOW_A_SQUAD = [mapper.class_ for mapper in Base.registry.mappers if "squad_id" in mapper.columns]


@pytest.fixture
def sync_database(database_url: str) -> Iterator[Database]:
    database = Database(Settings(DATABASE_URL=database_url))
    yield database
    database.sync_engine.dispose()


@pytest.fixture
def sync_db(sync_database: Database) -> Iterator[Session]:
    with sync_database.SyncSessionLocal() as db:
        yield db


def people() -> list[User]:
    return [
        User(email="ada@example.org", name="Ada"),
        User(email="tess@example.org", name="Tess"),
        User(email="old@example.net", is_active=False),
    ]


def a_squad() -> tuple[User, Squad]:
    owner = User(id=new_id(), email="owner@example.org")
    return owner, Squad(name="webshop", owner_id=owner.id, members=[Member(name="tess"), Member(name="ada")])


async def make_squad(db: AsyncSession) -> UUID:
    owner, squad = a_squad()
    db.add(owner)
    await db.flush()
    db.add(squad)
    await db.commit()
    return squad.id


def make_squad_sync(db: Session) -> UUID:
    owner, squad = a_squad()
    db.add(owner)
    db.flush()
    db.add(squad)
    db.commit()
    return squad.id


# Create, read, update, delete.


async def test_create_read_update_delete_async(database: Database) -> None:
    async with database.AsyncSessionLocal() as db:
        user = User(email="ada@example.org")
        db.add(user)
        await db.commit()
    async with database.AsyncSessionLocal() as db:
        found = await db.get_one(User, user.id)
        assert found is not user
        found.name = "Ada"
        await db.commit()
    async with database.AsyncSessionLocal() as db:
        renamed = (await db.execute(select(User).where(User.email == "ada@example.org"))).scalar_one()
        assert renamed.name == "Ada"
        assert renamed.updated_at > renamed.created_at
        await db.delete(renamed)
        await db.commit()
    async with database.AsyncSessionLocal() as db:
        assert await db.get(User, user.id) is None


def test_create_read_update_delete_sync(sync_database: Database) -> None:
    with sync_database.SyncSessionLocal() as db:
        user = User(email="ada@example.org")
        db.add(user)
        db.commit()
    with sync_database.SyncSessionLocal() as db:
        found = db.get_one(User, user.id)
        assert found is not user
        found.name = "Ada"
        db.commit()
    with sync_database.SyncSessionLocal() as db:
        renamed = db.execute(select(User).where(User.email == "ada@example.org")).scalar_one()
        assert renamed.name == "Ada"
        assert renamed.updated_at > renamed.created_at
        db.delete(renamed)
        db.commit()
    with sync_database.SyncSessionLocal() as db:
        assert db.get(User, user.id) is None


async def test_update_and_delete_many_async(async_db: AsyncSession) -> None:
    async_db.add_all(people())
    await async_db.flush()
    renamed = await async_db.scalars(update(User).where(User.is_active).values(name="x").returning(User.email))
    assert sorted(renamed) == ["ada@example.org", "tess@example.org"]
    gone = await async_db.scalars(delete(User).where(User.name == "x").returning(User.email))
    assert sorted(gone) == ["ada@example.org", "tess@example.org"]
    assert (await async_db.scalars(select(User.email))).all() == ["old@example.net"]


def test_update_and_delete_many_sync(sync_db: Session) -> None:
    sync_db.add_all(people())
    sync_db.flush()
    renamed = sync_db.scalars(update(User).where(User.is_active).values(name="x").returning(User.email))
    assert sorted(renamed) == ["ada@example.org", "tess@example.org"]
    gone = sync_db.scalars(delete(User).where(User.name == "x").returning(User.email))
    assert sorted(gone) == ["ada@example.org", "tess@example.org"]
    assert sync_db.scalars(select(User.email)).all() == ["old@example.net"]


# Filters.

FILTERS = [
    (User.email == "ada@example.org", ["ada@example.org"]),
    (User.is_active.is_(False), ["old@example.net"]),
    (User.name.ilike("%ES%"), ["tess@example.org"]),
    ((User.name == "Ada") | (User.name == ""), ["ada@example.org", "old@example.net"]),
    (User.is_active & (User.name != "Ada"), ["tess@example.org"]),
    (User.name.in_(["Tess", "Nobody"]), ["tess@example.org"]),
    (User.created_at > func.statement_timestamp(), []),
]


async def test_filters_async(async_db: AsyncSession) -> None:
    async_db.add_all(people())
    await async_db.commit()
    for condition, expected in FILTERS:
        assert list(await async_db.scalars(select(User.email).where(condition).order_by(User.email))) == expected


def test_filters_sync(sync_db: Session) -> None:
    sync_db.add_all(people())
    sync_db.commit()
    for condition, expected in FILTERS:
        assert list(sync_db.scalars(select(User.email).where(condition).order_by(User.email))) == expected


# A squad with its members.


async def test_squad_with_its_members_async(database: Database) -> None:
    async with database.AsyncSessionLocal() as db:
        squad_id = await make_squad(db)
    async with database.AsyncSessionLocal() as db:
        statement = select(Squad).options(selectinload(Squad.members)).where(Squad.id == squad_id)
        squad = (await db.execute(statement)).scalar_one()
    assert [member.name for member in squad.members] == ["ada", "tess"]


def test_squad_with_its_members_sync(sync_database: Database) -> None:
    with sync_database.SyncSessionLocal() as db:
        squad_id = make_squad_sync(db)
    with sync_database.SyncSessionLocal() as db:
        statement = select(Squad).options(selectinload(Squad.members)).where(Squad.id == squad_id)
        squad = db.execute(statement).scalar_one()
    assert [member.name for member in squad.members] == ["ada", "tess"]


# What was not loaded.


async def test_what_was_not_loaded_fails_loudly_async(database: Database) -> None:
    async with database.AsyncSessionLocal() as db:
        squad_id = await make_squad(db)
    async with database.AsyncSessionLocal() as db:
        squad = await db.get_one(Squad, squad_id, options=[load_only(Squad.owner_id)])
        with pytest.raises(InvalidRequestError, match="lazy='raise'"):
            _ = squad.members
        with pytest.raises(InvalidRequestError, match="lazy='raise'"):
            _ = squad.owner
        with pytest.raises(MissingGreenlet):
            _ = squad.name
        await db.refresh(squad, ["name", "members"])
        assert (squad.name, len(squad.members)) == ("webshop", 2)


def test_what_was_not_loaded_fails_loudly_sync(sync_database: Database) -> None:
    with sync_database.SyncSessionLocal() as db:
        squad_id = make_squad_sync(db)
    with sync_database.SyncSessionLocal() as db:
        squad = db.get_one(Squad, squad_id, options=[load_only(Squad.owner_id, raiseload=True)])
        with pytest.raises(InvalidRequestError, match="lazy='raise'"):
            _ = squad.members
        with pytest.raises(InvalidRequestError, match="lazy='raise'"):
            _ = squad.owner
        with pytest.raises(InvalidRequestError, match="raiseload"):
            _ = squad.name
        db.refresh(squad, ["name", "members"])
        assert (squad.name, len(squad.members)) == ("webshop", 2)


def test_no_relationship_loads_by_itself() -> None:
    relationships = [item for mapper in Base.registry.mappers for item in mapper.relationships]
    assert relationships
    assert {item.lazy for item in relationships} == {"raise"}


# Transactions.


async def stumble(database: Database) -> None:
    async with database.AsyncSessionLocal() as db, db.begin():
        db.add(User(email="lost@example.org"))
        await db.flush()
        raise ZeroDivisionError


def stumble_sync(database: Database) -> None:
    with database.SyncSessionLocal() as db, db.begin():
        db.add(User(email="lost@example.org"))
        db.flush()
        raise ZeroDivisionError


async def test_an_explicit_transaction_commits_or_rolls_back_async(database: Database) -> None:
    async with database.AsyncSessionLocal() as db, db.begin():
        db.add(User(email="kept@example.org"))
    with pytest.raises(ZeroDivisionError):
        await stumble(database)
    async with database.AsyncSessionLocal() as db:
        db.add(User(email="taken-back@example.org"))
        await db.flush()
        await db.rollback()
        db.add(User(email="forgotten@example.org"))
        await db.flush()
    async with database.AsyncSessionLocal() as db:
        assert (await db.scalars(select(User.email))).all() == ["kept@example.org"]


def test_an_explicit_transaction_commits_or_rolls_back_sync(sync_database: Database) -> None:
    with sync_database.SyncSessionLocal() as db, db.begin():
        db.add(User(email="kept@example.org"))
    with pytest.raises(ZeroDivisionError):
        stumble_sync(sync_database)
    with sync_database.SyncSessionLocal() as db:
        db.add(User(email="taken-back@example.org"))
        db.flush()
        db.rollback()
        db.add(User(email="forgotten@example.org"))
        db.flush()
    with sync_database.SyncSessionLocal() as db:
        assert db.scalars(select(User.email)).all() == ["kept@example.org"]


async def test_a_savepoint_takes_back_its_part_only_async(async_db: AsyncSession) -> None:
    async_db.add(User(email="ada@example.org"))
    await async_db.flush()
    with pytest.raises(IntegrityError, match="uq_users_email"):
        async with async_db.begin_nested():
            async_db.add(User(email="ADA@example.org"))
    await async_db.commit()
    assert (await async_db.scalars(select(User.email))).all() == ["ada@example.org"]


def test_a_savepoint_takes_back_its_part_only_sync(sync_db: Session) -> None:
    sync_db.add(User(email="ada@example.org"))
    sync_db.flush()
    with pytest.raises(IntegrityError, match="uq_users_email"), sync_db.begin_nested():
        sync_db.add(User(email="ADA@example.org"))
    sync_db.commit()
    assert sync_db.scalars(select(User.email)).all() == ["ada@example.org"]


# Several statements at once, on separate sessions: each waits until all are inside.

PARTIES = 4


async def test_several_statements_at_once_async(database: Database) -> None:
    barrier = asyncio.Barrier(PARTIES)

    async def register(number: int) -> int | None:
        async with database.AsyncSessionLocal() as db:
            own = await db.scalar(select(func.pg_backend_pid()))
            await barrier.wait()
            db.add(User(email=f"user-{number}@example.org"))
            await db.commit()
            return own

    async with asyncio.timeout(20):
        connections = await asyncio.gather(*map(register, range(PARTIES)))
    assert len(set(connections)) == PARTIES
    async with database.AsyncSessionLocal() as db:
        assert await db.scalar(select(func.count()).select_from(User)) == PARTIES


def test_several_statements_at_once_sync(sync_database: Database) -> None:
    def register(number: int) -> int | None:
        with sync_database.SyncSessionLocal() as db:
            own = db.scalar(select(func.pg_backend_pid()))
            db.add(User(email=f"user-{number}@example.org"))
            db.flush()
            db.execute(select(func.pg_sleep(0.2)))
            db.commit()
            return own

    with ThreadPoolExecutor(PARTIES) as threads:
        connections = list(threads.map(register, range(PARTIES)))
    assert len(set(connections)) == PARTIES
    with sync_database.SyncSessionLocal() as db:
        assert db.scalar(select(func.count()).select_from(User)) == PARTIES


# Bulk insert and streaming.


async def test_bulk_insert_and_streaming_async(database: Database) -> None:
    async with database.AsyncSessionLocal() as db, db.begin():
        ids = (await db.scalars(insert(User).returning(User.id), MANY)).all()
    assert len(set(ids)) == len(MANY)
    async with database.AsyncSessionLocal() as db:
        statement = select(User).order_by(User.email).execution_options(yield_per=100)
        result = await db.stream_scalars(statement)
        first = await anext(result)
        assert await db.scalar(text("SELECT count(*) FROM pg_cursors WHERE statement LIKE 'SELECT users.%'")) == 1
        assert [first.email] + [user.email async for user in result] == [row["email"] for row in MANY]


def test_bulk_insert_and_streaming_sync(sync_database: Database) -> None:
    with sync_database.SyncSessionLocal() as db, db.begin():
        ids = db.scalars(insert(User).returning(User.id), MANY).all()
    assert len(set(ids)) == len(MANY)
    with sync_database.SyncSessionLocal() as db:
        result = db.scalars(select(User).order_by(User.email).execution_options(yield_per=100))
        first = next(result)
        assert [first.email] + [user.email for user in result] == [row["email"] for row in MANY]


async def test_copy_belongs_to_the_transaction(database: Database) -> None:
    rows = [(new_id(), row["email"]) for row in MANY]
    for outcome, expected in (("rollback", 0), ("commit", len(MANY))):
        async with database.AsyncSessionLocal() as db:
            assert await db.scalar(select(func.count()).select_from(User)) == 0
            raw = (await (await db.connection()).get_raw_connection()).driver_connection
            assert raw is not None
            await raw.copy_records_to_table("users", columns=["id", "email"], records=rows)
            await getattr(db, outcome)()
        async with database.AsyncSessionLocal() as db:
            assert await db.scalar(select(func.count()).select_from(User)) == expected


# The models.


async def test_a_user_needs_only_an_address(async_db: AsyncSession) -> None:
    user = User(email="a@b.c")
    async_db.add(user)
    await async_db.commit()
    assert isinstance(user.id, UUID)
    assert user.id.version == 7
    assert (user.name, user.is_active, user.is_admin) == ("", True, False)
    assert user.created_at == user.updated_at
    assert user.created_at.utcoffset() is not None


async def test_a_squad_needs_only_a_name_and_an_owner(async_db: AsyncSession) -> None:
    owner = User(email="a@b.c")
    async_db.add(owner)
    await async_db.flush()
    squad = Squad(name="webshop", owner_id=owner.id)
    async_db.add(squad)
    await async_db.commit()
    assert isinstance(squad.id, UUID)
    assert (squad.lease_seconds, squad.max_tries, squad.archived_at) == (60, 3, None)


GARBAGE = ["garbage", "", "%", "\u2603", "0193", "'; DROP TABLE users; --", "g" * 36]


async def test_text_that_is_no_id_equals_nothing_async(async_db: AsyncSession) -> None:
    async_db.add(User(email="a@b.c"))
    await async_db.commit()
    for given in GARBAGE:
        assert (await async_db.scalars(select(User).where(User.id == given))).all() == []
        assert await async_db.get(User, given) is None


def test_text_that_is_no_id_equals_nothing_sync(sync_db: Session) -> None:
    sync_db.add(User(email="a@b.c"))
    sync_db.commit()
    for given in GARBAGE:
        assert sync_db.scalars(select(User).where(User.id == given)).all() == []
        assert sync_db.get(User, given) is None


async def test_the_text_of_an_id_finds_its_row_async(async_db: AsyncSession) -> None:
    user = User(email="a@b.c")
    async_db.add(user)
    await async_db.commit()
    assert (await async_db.scalars(select(User).where(User.id == str(user.id)))).one() is user
    assert (await async_db.scalars(select(User).where(User.id == str(user.id).upper()))).one() is user


def test_the_text_of_an_id_finds_its_row_sync(sync_db: Session) -> None:
    user = User(email="a@b.c")
    sync_db.add(user)
    sync_db.commit()
    assert sync_db.scalars(select(User).where(User.id == str(user.id))).one() is user


async def fill(db: AsyncSession, squad_id: UUID) -> None:
    """Put a row into each table below a squad; a new table gets its line here."""
    member = (await db.scalars(select(Member.id).where(Member.squad_id == squad_id))).first()
    db.add_all(Task(squad_id=squad_id, number=number, title="…", assignee_id=member) for number in (1, 2))
    await db.flush()
    db.add(Dependency(squad_id=squad_id, task_number=2, depends_on=1))
    db.add(Attempt(squad_id=squad_id, task_number=1, attempt=1, member_id=member))
    db.add(Event(squad_id=squad_id, position=1, kind="squad.created", actor={}, data={}))
    db.add(MemberToken(squad_id=squad_id, member_id=member, digest=b"x"))
    db.add(Message(squad_id=squad_id, position=1, sender_id=member, task_number=1, body="…", sent_at=func.now()))
    await db.flush()
    step = Step(squad_id=squad_id, task_number=1, number=1, attempt=1, member_id=member, kind="answer", state="started")
    db.add_all([step, Budget(squad_id=squad_id, task_number=1)])
    db.add(Mark(squad_id=squad_id, name="role/", priority=0, number=1))
    db.add(Recipient(squad_id=squad_id, position=1, member_id=member))
    await db.commit()


async def test_deleting_a_squad_takes_all_of_it_along_async(async_db: AsyncSession) -> None:
    squad_id = await make_squad(async_db)
    await fill(async_db, squad_id)
    for model in BELOW_A_SQUAD:
        assert await async_db.scalar(select(func.count()).select_from(model)), model
    await async_db.delete(await async_db.get_one(Squad, squad_id, options=[selectinload(Squad.members)]))
    await async_db.commit()
    async_db.expunge_all()
    left = [await async_db.scalar(select(func.count()).select_from(model)) for model in BELOW_A_SQUAD]
    assert left == [0] * len(BELOW_A_SQUAD)
    assert await async_db.scalar(select(func.count()).select_from(User)) == 1


def test_deleting_a_squad_takes_its_members_along_sync(sync_db: Session) -> None:
    squad_id = make_squad_sync(sync_db)
    sync_db.expunge_all()
    sync_db.delete(sync_db.get_one(Squad, squad_id))
    sync_db.commit()
    assert sync_db.scalar(select(func.count()).select_from(Member)) == 0


def test_composite_keys_raise_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        configure_mappers()
    code = "import warnings; warnings.simplefilter('error'); import backend.models; "
    code += "from sqlalchemy.orm import configure_mappers; configure_mappers()"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=60)


# Importing.

LOOK = """
import os, socket, subprocess, threading

def state():
    return os.listdir("."), os.listdir("/dev/fd")

def refuse(*arguments, **options):
    raise AssertionError("opened a connection or a process")

before = state()
socket.socket.connect = subprocess.Popen.__init__ = refuse
import backend.core.database, backend.core.settings, backend.models
assert state() == before, (before, state())
assert threading.active_count() == 1
assert backend.core.settings.default.cache_info().currsize == 0
assert backend.core.database.default.cache_info().currsize == 0
"""


@pytest.mark.parametrize("url", ["", "nonsense", "postgresql://nobody:x@192.0.2.1:1/none"])
def test_importing_opens_starts_and_asks_nothing(tmp_path: Path, url: str) -> None:
    environment = os.environ | {"DATABASE_URL": url, "SQUAD_HOME": str(tmp_path / "home"), "SQUAD_MIGRATE": "wrong"}
    environment["PYTHONPATH"] = str(REPOSITORY)
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""
