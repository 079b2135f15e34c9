"""Whether the database's schema is the program's, and how it becomes so. Alembic does the work."""

import time
from functools import cache
from pathlib import Path
from typing import Final

import psycopg2
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, Select, column, exc, select, table, text

from backend.core.errors import StartError

MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"
OLDEST: Final = 150_000  # PostgreSQL 15, as server_version_num
LOCK: Final = 0x5351554144  # "SQUAD"
WAIT: Final = 300  # seconds


def config(engine: Engine) -> Config:
    """Alembic's configuration, bound to an engine."""
    result = Config()
    result.set_main_option("script_location", str(MIGRATIONS))
    result.attributes["engine"] = engine
    return result


@cache
def head() -> str | None:
    """The revision that this program needs."""
    return _script().get_current_head()


def current() -> Select[tuple[str]]:
    """The revision that the database has."""
    return select(column("version_num")).select_from(table("alembic_version"))


def is_current(engine: Engine) -> bool:
    """Whether the schema is the program's; False where it is older, or not there yet.

    Raises:
        StartError: the database is unreachable or too old, or its schema is newer than the program.
    """
    return revision(engine) == head()


def is_known(name: str) -> bool:
    """Whether the program knows a revision, so can bring a schema from it to head."""
    return name in {item.revision for item in _script().walk_revisions()}


def prepare(engine: Engine, *, migrate: bool) -> None:
    """Make sure that the database answers, is new enough and holds the current schema.

    Args:
        engine: a synchronous engine on it.
        migrate: whether an older schema is brought to head or refused.

    Raises:
        StartError: unreachable, too old, not current, or newer than the program.
    """
    if is_current(engine):
        return
    if not migrate:
        raise StartError("The database's schema is not current; run `asq admin migrate`, or set SQUAD_MIGRATE=on.")
    try:
        command.upgrade(config(engine), "head")
    except (exc.SQLAlchemyError, CommandError) as error:
        raise StartError(
            f"The database's schema can't be brought to head ({_reason(error)}); correct the cause, and start again."
        ) from error


def revision(engine: Engine) -> str | None:
    """The schema's revision; None where there is no schema yet.

    Raises:
        StartError: the database is unreachable or too old, or its schema is newer than the program.
    """
    found = _revision(engine)
    if found is not None and not is_known(found):
        raise StartError(
            f"The database's schema ({found}) is newer than this program; install a newer agentsquad-server."
        )
    return found


def take_lock(connection: Connection) -> None:
    """Wait until no other process changes the schema; from then on this connection alone may.

    It polls: waiting inside `pg_advisory_lock` would be ended by `lock_timeout`, and taken for a deadlock
    by `CREATE INDEX CONCURRENTLY`.

    Raises:
        StartError: it took too long.
    """
    ends = time.monotonic() + WAIT
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
        if time.monotonic() > ends:
            raise StartError("Another process has been migrating for five minutes; end it and try again.")
        time.sleep(0.2)


def _script() -> ScriptDirectory:
    script = Config()
    script.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(script)


def _revision(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, psycopg2.extensions.connection)
            if raw.server_version < OLDEST:
                raise StartError(
                    f"The database is PostgreSQL {raw.server_version // 10_000}; Agent Squad needs 15 or newer."
                )
            return MigrationContext.configure(connection).get_current_revision()
    except (exc.DatabaseError, exc.TimeoutError) as error:  # psycopg2 has no narrower one for a server that dies
        raise StartError(
            f"The database can't be reached ({_reason(error)}); check DATABASE_URL and that it runs."
        ) from error


def _reason(error: Exception) -> str:
    origin = getattr(error, "orig", None) or error
    return (str(origin).strip().splitlines() or [type(origin).__name__])[0].rstrip(".")
