"""Whether the database's schema is the program's, and how it becomes so. Alembic does the work."""

from functools import cache
from pathlib import Path
from typing import Final

import psycopg2
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, Select, column, exc, select, table

from backend.core.errors import StartError

MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"
OLDEST: Final = 150_000  # PostgreSQL 15, as server_version_num


def config(engine: Engine) -> Config:
    """Alembic's configuration, bound to an engine."""
    result = Config()
    result.set_main_option("script_location", str(MIGRATIONS))
    result.attributes["engine"] = engine
    return result


@cache
def head() -> str | None:
    """The revision that this program needs."""
    script = Config()
    script.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(script).get_current_head()


def current() -> Select[tuple[str]]:
    """The revision that the database has."""
    return select(column("version_num")).select_from(table("alembic_version"))


def is_current(engine: Engine) -> bool:
    """Whether the schema is the program's; False where it is older, or not there yet.

    Raises:
        StartError: the database is unreachable or too old, or its schema is newer than the program.
    """
    script = ScriptDirectory.from_config(config(engine))
    revision = _revision(engine)
    if revision is not None and revision not in {item.revision for item in script.walk_revisions()}:
        raise StartError(
            f"The database's schema ({revision}) is newer than this program; install a newer agentsquad-server."
        )
    return revision == script.get_current_head()


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
