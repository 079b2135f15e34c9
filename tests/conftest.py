"""Two fixtures, whose names say which: `async_db` for operations, `database` for everything above them.

Both stand on a real PostgreSQL: a bundled one of the test run's own, or the one that
`SQUAD_TEST_DATABASE_URL` names, where the tests may make and drop databases.
"""

import fcntl
import gc
import os
import signal
import struct
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg2
import psycopg2.extensions
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.database import Database
from backend.core.embedded import Cluster
from backend.core.settings import Settings
from backend.core.urls import Address

# Whoever starts the tests in the background has its children ignore these; ours shall obey.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# What is loaded and collected lives to the end; looking through it for garbage takes a second again and again.
gc.disable()

# What runs hosted members takes a second to load, and nobody hosts any but in the tests of that.
os.environ["SQUAD_RUNNER"] = "off"

SCALE = int(os.environ.get("SQUAD_TEST_SCALE", "1"))

# The connections to this database that somebody made; a worker that vacuums it now is PostgreSQL's own.
ITS_CLIENTS = "FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"


def pytest_collection_finish() -> None:
    """Look for garbage in what the tests themselves make."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the developer's settings or home."""
    for name in list(os.environ):
        if name.startswith(("SQUAD_", "PG")) or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("SQUAD_RUNNER", "off")
    monkeypatch.setenv("SQUAD_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL on which databases can be made."""
    given = os.environ.get("SQUAD_TEST_DATABASE_URL")
    if given:
        yield given
        return
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    cluster.ensure()
    with closing(psycopg2.connect(cluster.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SHOW data_directory")
        spread(Path(cursor.fetchall()[0][0], "base"))
        if SCALE < 10:  # a campaign that is measured waits as a server does
            _be_quick(cursor)
    yield cluster.url
    cluster.destroy()


def spread(folder: Path) -> None:
    """Let what is made in a folder lie in different regions of the disk, if its file system knows how.

    Without a journal ext4 gives the inode of a deleted file to no new one for minutes, and passes over all of them
    for every file in the same region: where databases come and go, the next one takes ten times as long.
    """
    if sys.platform != "linux":
        return
    get, put, apart = 0x80086601, 0x40086602, 0x20000  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_TOPDIR_FL
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # of a file system without it
            (flags,) = struct.unpack("l", fcntl.ioctl(opened, get, struct.pack("l", 0)))
            fcntl.ioctl(opened, put, struct.pack("l", flags | apart))
    finally:
        os.close(opened)


def _be_quick(cursor: psycopg2.extensions.cursor) -> None:
    """Let a cluster that nobody needs tomorrow wait for no disk. Whatever crashes on purpose has one of its own."""
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        cursor.execute(f"ALTER SYSTEM SET {setting} = off")
    cursor.execute("SELECT pg_reload_conf()")


def on(url: str, name: str) -> str:
    """The same server, another database."""
    address = Address.parse(url)
    sync = address.for_sync().set(database=name)
    return sync.render_as_string(hide_password=False).replace("postgresql+psycopg2", "postgresql")


@contextmanager
def new_database(server_url: str, template: str = "template1") -> Iterator[str]:
    """A database that lives as long as the block."""
    name = f"test_{uuid.uuid4().hex}"
    admin = psycopg2.connect(on(server_url, "postgres"))
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE {name} TEMPLATE "{template}"')
            yield on(server_url, name)
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        admin.close()


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """Name of a database at head, to be cloned: 30 ms instead of a migration."""
    with new_database(server_url) as url:
        owner = Database(Settings(DATABASE_URL=url))
        owner.open_sync()
        owner.sync_engine.dispose()
        yield str(Address.parse(url).database)


@pytest.fixture(scope="session")
def shared_url(server_url: str, template: str) -> Iterator[str]:
    """One database for all tests that roll back."""
    with new_database(server_url, template) as url:
        yield url


@pytest.fixture
async def async_db(shared_url: str) -> AsyncIterator[AsyncSession]:
    """A session in an outer transaction that is rolled back: the test may commit, no other sees its rows."""
    database = Database(Settings(DATABASE_URL=shared_url))
    async with database.async_engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as db:
            yield db
        await outer.rollback()
    await database.close()


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """A database of its own with nothing in it."""
    with new_database(server_url) as url:
        yield url


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A migrated database of its own, for tests that start processes."""
    with new_database(server_url, template) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A `Database` on a migrated database of its own."""
    database = Database(Settings(DATABASE_URL=database_url))
    yield database
    await database.close()


@pytest.fixture
def make_database(database_url: str) -> Callable[..., Database]:
    """Further `Database` instances on the same database, with other settings; the test closes them."""
    return lambda **settings: Database(Settings(DATABASE_URL=database_url, **settings))
