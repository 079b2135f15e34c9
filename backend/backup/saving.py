"""Saving: one snapshot of a database that works on, in a file that is whole or not there."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sqlalchemy import Connection, text

from backend.backup.tools import CHUNK, Tools, verify
from backend.core import schema
from backend.core.database import Database
from backend.core.embedded import files
from backend.core.errors import StartError

# Whose it is and who may read it is the other database's own; extensions are its administrator's.
WHAT: Final = (
    "--format=custom", "--no-password", "--no-owner", "--no-privileges", "--no-security-labels", "--no-tablespaces",
    "--no-publications", "--no-subscriptions", "--exclude-extension=*",
)  # fmt: skip


@dataclass(frozen=True)
class Saved:
    """What a backup holds."""

    file: Path
    size: int
    seconds: float
    revision: str
    squads: int
    tasks: int
    events: int

    @property
    def sentence(self) -> str:
        """All of it in one."""
        return (
            f"{self.file}: {self.size / 2**20:,.1f} MiB in {self.seconds:.1f} s; schema {self.revision}, "
            f"{self.squads:,} squads, {self.tasks:,} tasks, {self.events:,} events."
        )


def save(own: Database, file: Path, *, force: bool = False) -> Saved:
    """Write a backup of all that was committed before it began; the servers write on meanwhile.

    Args:
        own: the database.
        file: where it goes; until it is whole it lies beside, as FILE.new.
        force: whether a file that is there may be replaced.

    Raises:
        StartError: there is nothing to save, the file can't be written, or a program failed.
    """
    began = time.monotonic()
    if file.is_dir():
        raise StartError(f"{file} is a folder; name a file in it.")
    if os.path.lexists(file) and not force:
        raise StartError(f"{file} is there already; give another name, or --force to replace it.")
    revision = schema.revision(own.sync_engine)
    if revision is None:
        raise StartError("The database holds no squads yet; there is nothing to save before a server has run.")
    with own.sync_engine.connect() as first, _unfinished(file) as (new, handle):
        connection = first.execution_options(isolation_level="REPEATABLE READ")
        snapshot, squads, tasks, events = _snapshot(connection)
        tools = Tools.on(connection, bundled=own.cluster is not None)
        _dump(tools, snapshot, str(connection.scalar(text("SELECT quote_ident(current_schema())"))), handle)
        verify(tools, new)
        size = new.stat().st_size
        files.rename(new, file)
    return Saved(file, size, time.monotonic() - began, revision, squads, tasks, events)


def _snapshot(connection: Connection) -> tuple[str, int, int, int]:
    """A snapshot that pg_dump shares for as long as this transaction lasts, and what it shows."""
    for setting in ("idle_in_transaction_session_timeout", "statement_timeout"):
        connection.execute(text(f"SET LOCAL {setting} = 0"))
    tables = ("squads", "tasks", "events")
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)  # noqa: S608  (constants)
    row = connection.execute(text(f"SELECT pg_export_snapshot(), {counts}")).one()
    return row[0], row[1], row[2], row[3]


def _dump(tools: Tools, snapshot: str, schema_name: str, handle: IO[bytes]) -> None:
    # Its output passes through here, so that it ends by itself when this process is killed.
    arguments = (*WHAT, f"--snapshot={snapshot}", f"--schema={schema_name}")
    with tools.running("pg_dump", *arguments) as program:
        while chunk := program.output.read(CHUNK):
            handle.write(chunk)
        program.end()
    handle.flush()
    os.fsync(handle.fileno())


@contextmanager
def _unfinished(file: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """The file under its name for as long as it isn't whole, for nobody else; gone after the block.

    Raises:
        StartError: it can't be written.
    """
    new = file.with_name(f"{file.name}.new")
    try:
        with open(os.open(new, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb") as handle:  # noqa: PTH123  (a mode from the start)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StartError(f"Another backup is writing {new}; wait for it, or give another name.") from None
            if not (new.exists() and os.path.samestat(os.fstat(handle.fileno()), new.lstat())):
                raise StartError(
                    f"Another backup has just written {file}; give another name, or --force to replace it."
                )
            os.fchmod(handle.fileno(), 0o600)
            handle.truncate()
            try:
                yield new, handle
            except BaseException:
                # What can't be flushed any more is not wanted any more.
                with contextlib.suppress(OSError):
                    new.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise StartError(f"{new} can't be written ({error.strerror}); make room, or give another place.") from error
