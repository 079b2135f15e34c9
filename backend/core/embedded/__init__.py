"""The bundled PostgreSQL: one cluster in one home folder, shared by all processes that use it.

It runs if a connection succeeds; that a process id exists says nothing. `postgres.lock` in the home
is held while someone starts or stops it.
"""

import enum
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never
from urllib.parse import quote

import psycopg2
import psycopg2.extensions

from backend.core.embedded import accounts, files
from backend.core.embedded.accounts import NAME
from backend.core.embedded.files import Patience
from backend.core.embedded.server import Server
from backend.core.errors import StartError
from backend.core.settings import Settings

CONNECT_SECONDS = 5
SYSTEMS = ("linux", "darwin")
# A Unix socket's path has at most some hundred bytes; a home's may have thousands.
SOCKETS = Path("/tmp")  # noqa: S108  # the folder in it is checked before each use


class _Answer(enum.Enum):
    """What an attempt to connect met."""

    READY = enum.auto()
    NO_DATABASE = enum.auto()
    BUSY = enum.auto()  # a server that is starting, stopping or full
    REFUSED = enum.auto()  # a server that doesn't take our password
    SILENCE = enum.auto()


def _silent(_line: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Cluster:
    """One bundled PostgreSQL, in one home folder.

    Args:
        home: an absolute path.
    """

    home: Path

    @property
    def url(self) -> str:
        """Its address for any driver, complete with the file that holds the password."""
        host, passfile = quote(str(self.socket_dir)), quote(str(self._pass_file))
        return f"postgresql://{NAME}@/{NAME}?host={host}&passfile={passfile}"

    @property
    def socket_dir(self) -> Path:
        """The folder of its socket."""
        return SOCKETS / f"agentsquad-{os.geteuid()}-{self._digest}"

    @property
    def log(self) -> Path:
        """The file that PostgreSQL logs to."""
        return self._store / "postgres.log"

    def binaries(self) -> Path:
        """The folder of the programs that are used: `postgres`, `psql`, `pg_dump` and others.

        Raises:
            StartError: the package that holds them isn't installed.
        """
        with files.plainly(self.home):
            return accounts.binaries()

    def password(self) -> str:
        """The superuser's password.

        Raises:
            StartError: its file is missing or unreadable.
        """
        try:
            return self._pass_file.read_text(encoding="utf-8").strip().rpartition(":")[2]
        except FileNotFoundError:
            raise StartError(
                f"{self._pass_file} is missing; restore it from a backup, "
                f"or remove {self._store / 'postgres'} to begin with an empty database."
            ) from None
        except OSError as error:
            raise StartError(
                f"{self._pass_file} can't be read ({error.strerror}); use the account that runs the server."
            ) from error

    def running(self) -> bool:
        """Whether a connection to its database succeeds."""
        account = accounts.find()
        if account is None:
            return False
        return self._probe(Server(self._store, self.socket_dir, account)) is _Answer.READY

    def ensure(self, report: Callable[[str], None] = _silent) -> None:
        """Make it if it is new, and start it if it doesn't run.

        Args:
            report: is given a line every few seconds for as long as it takes.

        Raises:
            StartError: it can't be started; the sentence names the remedy.
        """
        _check_system()
        if not self.running():
            with files.plainly(self.home):
                self._make_home()
                with self._ordered(report):
                    self._bring_up(report)

    def stop(self) -> bool:
        """Shut it down, which ends its connections; False if it didn't run."""
        account = accounts.find()
        if account is None or not self.home.is_dir() or not self._store.is_dir():
            return False
        with files.plainly(self.home), self._ordered(_silent):
            return Server(self._store, self.socket_dir, account).stop(self._stopping())

    def destroy(self) -> None:
        """Stop it, and remove its data for good; what else is in the home stays."""
        account = accounts.find()
        if account is None or not self.home.is_dir() or not self._store.is_dir():
            return
        with files.plainly(self.home), self._ordered(_silent):
            server = Server(self._store, self.socket_dir, account)
            server.stop(self._stopping())
            server.remove(self._stopping())
            self._pass_file.unlink(missing_ok=True)
            if self._store != self.home:
                shutil.rmtree(self._store, ignore_errors=True)

    @property
    def _digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]

    @property
    def _pass_file(self) -> Path:
        return self.home / "postgres.pass"

    @property
    def _store(self) -> Path:
        """Where everything lies that the server itself needs."""
        return self.home if os.geteuid() != 0 else accounts.STATE / self._digest

    def _ordered(self, report: Callable[[str], None]) -> AbstractContextManager[None]:
        doing = "Waiting for another process that starts or stops PostgreSQL"
        wait = Patience(doing, f"see who uses {self.home}, and try again", report)
        return files.locked(self.home / "postgres.lock", wait)

    def _stopping(self) -> Patience:
        return Patience("Stopping PostgreSQL", f"see {self.log}", _silent)

    def _make_home(self) -> None:
        try:
            files.folder(self.home, 0o700)
        except (FileExistsError, NotADirectoryError):
            raise StartError(f"{self.home} is not a folder; set SQUAD_HOME to one, or move the file away.") from None
        except FileNotFoundError:
            raise StartError(f"{self.home.parent} doesn't exist; make this folder, or set SQUAD_HOME.") from None

    def _bring_up(self, report: Callable[[str], None]) -> None:
        server = Server(self._store, self.socket_dir, accounts.make())
        if not server.is_new:
            self.password()
        server.make_folders(self.home)
        wait = Patience("Starting PostgreSQL", f"see {self.log}, or set DATABASE_URL", report)
        launched: int | None = None
        while (answer := self._probe(server)) is not _Answer.READY:
            match answer:
                case _Answer.NO_DATABASE:
                    self._create_database()
                    continue
                case _Answer.REFUSED:
                    raise StartError(
                        f"PostgreSQL refuses the password in {self._pass_file}; restore this file from a backup."
                    )
                case _Answer.SILENCE:
                    if (pid := server.find()) is None:
                        launched = self._launch(server, launched, wait)
                    elif server.is_cut_off(pid):
                        server.interrupt(pid)
                case _Answer.BUSY:
                    pass
                case _:
                    assert_never(answer)
            wait()

    def _launch(self, server: Server, launched: int | None, wait: Patience) -> int | None:
        """Launch the server unless it was; answers at which length of the log that was."""
        with server.claim() as claim:
            if claim is None:
                return launched
            if launched is not None:
                raise StartError(
                    f"PostgreSQL didn't start ({server.last_words(launched)}); "
                    f"correct the cause, see {self.log}, or set DATABASE_URL."
                )
            if server.is_new:
                password = secrets.token_urlsafe(32)
                server.initialise(password, claim, wait)
                files.write(self._pass_file, f"*:*:*:{NAME}:{password}\n")
                server.adopt()
            else:
                server.check_version(claim, wait)
            return server.launch(claim)

    def _create_database(self) -> None:
        try:
            with closing(self._connect("postgres")) as connection:
                connection.autocommit = True
                connection.cursor().execute(f"CREATE DATABASE {NAME}")
        except psycopg2.Error as error:
            reason = files.last_line(str(error), "FATAL:", "ERROR:")
            raise StartError(
                f"The database {NAME} can't be made ({reason}); correct the cause, and try again."
            ) from error

    def _probe(self, server: Server) -> _Answer:
        if not server.is_private or not self._pass_file.exists():
            return _Answer.SILENCE
        try:
            self._connect(NAME).close()
        except psycopg2.OperationalError as error:
            # A connection that fails has no code in psycopg2; our server's messages are English.
            return _meaning(str(error))
        return _Answer.READY

    def _connect(self, database: str) -> psycopg2.extensions.connection:
        # Every parameter is given, so that no PG* variable of the environment has a say.
        return psycopg2.connect(
            host=str(self.socket_dir),
            hostaddr="",
            port=5432,
            user=NAME,
            password=self.password(),
            dbname=database,
            connect_timeout=CONNECT_SECONDS,
            options="",
            client_encoding="UTF8",
            sslmode="disable",
            gssencmode="disable",
            channel_binding="disable",
            requirepeer="",
            target_session_attrs="any",
        )


def cluster_of(settings: Settings) -> Cluster | None:
    """The bundled PostgreSQL of these settings; None if DATABASE_URL names another one."""
    if settings.DATABASE_URL:
        return None
    _check_system()
    # Two names of one folder are one home.
    return Cluster(Path(os.path.realpath(settings.SQUAD_HOME)))


def _check_system() -> None:
    if sys.platform not in SYSTEMS:
        raise StartError(f"The bundled PostgreSQL runs on Linux and macOS, not on {sys.platform}; set DATABASE_URL.")


def _meaning(message: str) -> _Answer:
    if "FATAL:" not in message:
        return _Answer.SILENCE
    if f'database "{NAME}" does not exist' in message:
        return _Answer.NO_DATABASE
    if "authentication failed" in message or "pg_hba.conf" in message:
        return _Answer.REFUSED
    return _Answer.BUSY
