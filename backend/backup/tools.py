"""The programs of PostgreSQL that read and write backups: how they are started, and what they say when they fail."""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

import psycopg2.extensions
from sqlalchemy import Connection

from backend.core.embedded import accounts, files
from backend.core.errors import StartError

CHUNK: Final = 1 << 20  # bytes that are handed on at once
# libpq's parameters by their variables. Nothing of an address is an argument, which every user of the machine can
# read. What has no variable (keepalives, the passphrase of a client's key) is left to libpq's defaults.
VARIABLES: Final = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE",
    "password": "PGPASSWORD", "passfile": "PGPASSFILE", "options": "PGOPTIONS", "connect_timeout": "PGCONNECT_TIMEOUT",
    "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL", "sslsni": "PGSSLSNI", "sslcertmode": "PGSSLCERTMODE", "sslnegotiation": "PGSSLNEGOTIATION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION", "channel_binding": "PGCHANNELBINDING",
    "require_auth": "PGREQUIREAUTH", "gssencmode": "PGGSSENCMODE", "krbsrvname": "PGKRBSRVNAME", "gsslib": "PGGSSLIB",
}  # fmt: skip


@dataclass(frozen=True)
class Program:
    """One that runs."""

    name: str
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    @property
    def output(self) -> IO[bytes]:
        """What it writes."""
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def input(self) -> IO[bytes]:
        """What it reads."""
        assert self.process.stdin is not None
        return self.process.stdin

    def end(self) -> None:
        """Wait until it has ended well.

        Raises:
            StartError: it has not.
        """
        code = self.process.wait()
        if code:
            self.said.seek(0)
            last = files.last_line(self.said.read().decode(errors="replace"), "error:", "ERROR:", "FATAL:")
            reason = f"signal {-code}" if code < 0 else re.sub(r"^.*?(error|ERROR|FATAL): +", "", last)
            raise StartError(f"{self.name} failed ({reason.rstrip('.')}); nothing was changed.")


@dataclass(frozen=True)
class Tools:
    """The programs, and the environment that leads them to one database.

    Args:
        environment: variables; the password is one of them.
    """

    environment: dict[str, str]

    @classmethod
    def on(cls, connection: Connection, *, bundled: bool) -> Self:
        """Those that go where a connection went: the same host of several, the same user, the same password.

        Args:
            connection: one of psycopg2's.
            bundled: whether it is the bundled server, for which no variable of the caller counts.

        Raises:
            StartError: the server is newer than they are.
        """
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg2.extensions.connection)
        info = raw.info
        given = info.dsn_parameters | {"host": info.host, "port": str(info.port), "password": info.password or ""}
        found = {VARIABLES[name]: value for name, value in given.items() if name in VARIABLES and value}
        tools = cls((accounts.ENVIRONMENT if bundled else {**os.environ, "LC_ALL": "C"}) | found)
        tools.require(raw.server_version // 10_000)
        return tools

    def require(self, server: int) -> None:
        """Refuse a server that is newer than the programs, as they themselves would."""
        version = re.search(r"\d+", self.ask("pg_dump", "--version"))
        if version is None or int(version[0]) < server:
            raise StartError(
                f"The database is PostgreSQL {server}, newer than the bundled pg_dump "
                f"({version[0] if version else 'unknown'}); install a newer agentsquad-server."
            )

    @contextmanager
    def running(
        self, name: str, *arguments: str, stdin: int | IO[bytes] = subprocess.DEVNULL, stdout: int = subprocess.PIPE
    ) -> Iterator[Program]:
        """Run a program for the block; it is killed if the block fails."""
        command = [str(accounts.binaries() / name), *arguments]
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(  # noqa: S603  # a fixed program
                command, env=self.environment, stdin=stdin, stdout=stdout, stderr=said, start_new_session=True
            ) as process,
        ):
            try:
                yield Program(name, process, said)
            except BaseException:
                process.kill()
                if process.stdin is not None:
                    with contextlib.suppress(OSError):  # it can't be flushed any more
                        process.stdin.close()
                raise

    def ask(self, name: str, *arguments: str, stdin: int | IO[bytes] = subprocess.DEVNULL) -> str:
        """Run a program to its end; answers what it wrote.

        Raises:
            StartError: it failed.
        """
        with self.running(name, *arguments, stdin=stdin) as program:
            wrote = program.output.read().decode(errors="replace")
            program.end()
        return wrote


def verify(tools: Tools, archive: Path) -> None:
    """Read an archive from its first to its last byte.

    Raises:
        StartError: it is damaged.
    """
    with archive.open("rb") as file:
        tools.ask("pg_restore", "--file=/dev/null", stdin=file)
