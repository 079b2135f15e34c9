"""Databases that are saved and restored by the command, and what is in them."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg2
import pytest

from backend.backup.saving import save
from backend.core.database import Database
from backend.core.settings import Settings
from tests.cli.conftest import asq, home, start  # noqa: F401  (fixtures)
from tests.conftest import new_database
from tests.operations.everything import fill
from tests.operations.scene import play


def contents(url: str) -> dict[str, str]:
    """All rows of all tables, and the functions."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind = 'r' ORDER BY 1")  # fmt: skip
        tables = [name for (name,) in cursor.fetchall()]
        rows = {}
        for table in tables:
            cursor.execute(f"SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM {table} t")
            rows[table] = str(cursor.fetchall()[0][0])
        cursor.execute("SELECT string_agg(prosrc, '' ORDER BY proname) FROM pg_proc "
            "WHERE pronamespace = 'public'::regnamespace")  # fmt: skip
        rows["functions"] = str(cursor.fetchall()[0][0])
        return rows


@contextmanager
def locked(url: str, table: str, mode: str = "ACCESS EXCLUSIVE") -> Iterator[None]:
    """Somebody else holds a table: whoever wants it waits."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN {mode} MODE")
        yield
        connection.rollback()


def child(parent: int, name: str) -> psutil.Process:
    """The program that the command has started to work on the database: before it, one is asked for its version."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        for each in psutil.Process(parent).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # or has just ended
                program, *arguments = each.cmdline() or [""]
                if Path(program).name == name and arguments != ["--version"]:
                    return each
        time.sleep(0.01)
    raise AssertionError(f"no {name}")


def waits(url: str, text: str) -> None:
    """Wait until a statement waits for a lock."""
    ends = time.monotonic() + 30
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ILIKE %s"
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            while time.monotonic() < ends:
                cursor.execute(query, (f"%{text}%",))
                if cursor.fetchall() != [(0,)]:
                    return
                time.sleep(0.02)
    raise AssertionError(f"nobody waits in {text}")


@pytest.fixture
async def filled(database: Database) -> str:
    """The address of a database in which there is something of everything."""
    async with database.AsyncSessionLocal() as db, db.begin():
        await fill(await play(db))
    await database.close()
    return database.url


@pytest.fixture
def target(server_url: str, template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Another database, with empty tables; the command goes there once the test says so."""
    with new_database(server_url, template) as url:
        yield url


@pytest.fixture
def saved(filled: str, home: Path, tmp_path: Path) -> Path:  # noqa: F811  (a fixture)
    """A backup of it."""
    file = tmp_path / "saved"
    own = Database(Settings(DATABASE_URL=filled, SQUAD_HOME=home))
    save(own, file)
    own.sync_engine.dispose()
    return file
