"""Restoring: a database becomes what a backup holds, in one transaction, or stays as it was."""

import contextlib
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sqlalchemy import Connection, text

from agentsquad import local
from backend.backup.tools import CHUNK, Program, Tools
from backend.core import schema
from backend.core.database import Database
from backend.core.errors import StartError

EMPTYING: Final = Path(__file__).with_name("emptying.sql")
TABLES: Final = ("alembic_version", "users", "squads", "tasks", "events")
# Others' connections to this database; workers of the server itself have no user.
OTHERS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usesysid IS NOT NULL AND pid <> pg_backend_pid()
"""
# Names of the tables of this schema, but those of extensions and the one that says only which revision it is.
HELD: Final = """
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'f')
    AND c.relname <> 'alembic_version' AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""


@dataclass(frozen=True)
class Restored:
    """What a database holds now."""

    seconds: float
    revision: str
    squads: int
    tasks: int
    events: int

    @property
    def sentence(self) -> str:
        """All of it in one."""
        return (
            f"Restored {self.squads:,} squads, {self.tasks:,} tasks and {self.events:,} events of schema "
            f"{self.revision} in {self.seconds:.1f} s; the schema is current."
        )


@dataclass(frozen=True)
class _Archive:
    """A backup, looked at."""

    listing: str
    schema_name: str
    revision: str


def restore(own: Database, file: Path, *, replace: bool = False) -> Restored:
    """Fill a database from a backup, and bring its schema to head.

    Args:
        own: the database.
        file: a backup.
        replace: whether what the database holds is dropped for it.

    Raises:
        StartError: the file is no backup, or a newer program's; or the database holds something, or is in use.
    """
    began = time.monotonic()
    with _opened(file) as archive, own.sync_engine.connect() as first:
        connection = first.execution_options(isolation_level="AUTOCOMMIT")
        tools = Tools.on(connection, bundled=own.cluster is not None)
        looked = _look(tools, archive)
        schema.take_lock(connection)
        try:
            _refuse_what_is_there(own, connection, looked, replace=replace)
            _refill(tools, archive, looked.listing)
        finally:
            first.invalidate()  # which ends the lock
    schema.prepare(own.sync_engine, migrate=True)
    with own.sync_engine.connect() as first:
        connection = first.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("ANALYZE"))  # else the planner knows nothing of it for a minute
        counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in ("squads", "tasks", "events"))  # noqa: S608  (constants)
        squads, tasks, events = connection.execute(text(f"SELECT {counts}")).one()
        first.invalidate()  # its settings were for this
    return Restored(time.monotonic() - began, looked.revision, squads, tasks, events)


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    try:
        handle = file.open("rb")
    except OSError as error:
        raise StartError(
            f"{file} can't be read ({error.strerror}); name a file that `asq admin backup` wrote."
        ) from error
    with handle:
        yield handle


def _look(tools: Tools, archive: IO[bytes]) -> _Archive:
    """What an archive holds, by its own list."""
    foreign = f"{archive.name} is no backup of Agent Squad, or damaged"
    remedy = "name a file that `asq admin backup` wrote."
    try:
        listing = tools.ask("pg_restore", "--list", stdin=_from_start(archive))
        version = tools.ask("pg_restore", "--file=-", "--data-only", "--table=alembic_version",
            stdin=_from_start(archive))  # fmt: skip
    except StartError as error:
        raise StartError(f"{foreign} ({error.detail.partition('(')[2].rpartition(')')[0]}); {remedy}") from error
    tables = {name: schema for schema, name in re.findall(r"^\d+; \d+ \d+ TABLE (\S+) (\S+) ", listing, re.MULTILINE)}
    found = re.search(r"^COPY \S+alembic_version .*\n(\S+)\n\\\.$", version, re.MULTILINE)
    if found is None or not tables.keys() >= set(TABLES):
        raise StartError(f"{foreign}; {remedy}")
    if not schema.is_known(found[1]):
        raise StartError(
            f"{archive.name} was made by a newer program (schema {found[1]}); install a newer agentsquad-server."
        )
    # The schema itself is there, and stays.
    kept = [line for line in listing.splitlines() if not re.match(r"\d+; \d+ \d+ (SCHEMA|COMMENT) - ", line)]
    return _Archive("\n".join(kept), tables["alembic_version"], found[1])


def _refuse_what_is_there(own: Database, connection: Connection, archive: _Archive, *, replace: bool) -> None:
    """Whether the database may become another one.

    Raises:
        StartError: it may not.
    """
    here = connection.scalar(text("SELECT current_schema()"))
    if here != archive.schema_name:
        raise StartError(
            f"The backup is one of the schema {archive.schema_name}, and the database's is {here}; "
            "name the same one as search_path in DATABASE_URL."
        )
    if not replace:
        for table in connection.scalars(text(HELD)).all():
            if connection.scalar(text(f"SELECT EXISTS (SELECT FROM {table})")):  # noqa: S608  (quoted by PostgreSQL)
                raise StartError(
                    f"The database is not empty ({table} has rows); name an empty one, or give --replace, "
                    "which drops all that it holds."
                )
        return
    if any(local.running(own.settings.SQUAD_HOME)):
        raise StartError("A server of this home folder runs; end it with `asq stop`, and try again.")
    others = connection.scalar(text(OTHERS))
    if others:
        raise StartError(
            f"Others are connected to the database ({others} connections); stop all servers that use it, and try again."
        )


def _refill(tools: Tools, archive: IO[bytes], listing: str) -> None:
    """Empty the schema and fill it, in one transaction.

    The archive passes through here as SQL. Its end commits nothing: COMMIT follows only when pg_restore has ended
    well, so whatever dies on the way, be it this process, leaves the database as it was.
    """
    with (
        tempfile.NamedTemporaryFile("w") as entries,
        tools.running("psql", "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1",
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as psql,
    ):  # fmt: skip
        entries.write(listing)
        entries.flush()
        arguments = ("--file=-", "--no-owner", "--no-privileges", f"--use-list={entries.name}")
        with tools.running("pg_restore", *arguments, stdin=_from_start(archive)) as source:
            _send(psql, b"BEGIN;\nSET statement_timeout = 0;\n" + EMPTYING.read_bytes())
            while chunk := source.output.read(CHUNK):
                _send(psql, chunk)
            source.end()
        _send(psql, b"COMMIT;\n")
        with contextlib.suppress(BrokenPipeError):
            psql.input.close()
        psql.end()


def _send(psql: Program, sql: bytes) -> None:
    try:
        psql.input.write(sql)
        psql.input.flush()
    except BrokenPipeError:
        psql.end()  # says why it has ended
        raise


def _from_start(archive: IO[bytes]) -> IO[bytes]:
    archive.seek(0)
    return archive
