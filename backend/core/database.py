"""The database: engines, sessions, transactions and fast reads. The only room that commits.

`Database` holds all of it for one set of settings. The names that other people's code imports
(`async_engine`, `AsyncSessionLocal`, `get_db`, `init_db`, their sync twins …) belong to the process's
default instance, built on first access: importing this module opens, starts and asks nothing.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache, cached_property
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast
from uuid import UUID

from sqlalchemy import Engine, create_engine, event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import await_only
from starlette.requests import HTTPConnection

from backend.core import embedded, failures, schema
from backend.core.errors import Overloaded, SquadError
from backend.core.jsons import dumps
from backend.core.pool import LoopPool, refuse_dead
from backend.core.reads import Lane
from backend.core.settings import Settings
from backend.core.settings import default as default_settings
from backend.core.urls import Address

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

TRIES: Final = 3
CHANGED: Final = "changed"
FULL: Final = "53300"  # too many connections: the server runs
POOL_WAIT: Final = 1.0  # seconds until a request that gets no connection is answered with Overloaded
SYNC_POOL_SIZE: Final = 5
DOORBELL: Final = 1  # connection that rings and listens
# No frozen process of ours may hold a squad for longer than these, in milliseconds.
SERVER_SETTINGS: Final = {
    "TimeZone": "UTC",
    "idle_in_transaction_session_timeout": "5000",
    "lock_timeout": "3000",
    "statement_timeout": "15000",
}


class Database:
    """Engines, session makers, transactions and the read lane on one PostgreSQL.

    Args:
        settings: its `DATABASE_URL` says where; empty means the bundled PostgreSQL in `SQUAD_HOME`,
            which the first connection starts if it doesn't run.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cluster = embedded.cluster_of(settings)
        self.url = self.cluster.url if self.cluster else settings.DATABASE_URL
        self._running: set[asyncio.Task[Any]] = set()
        self.on_change: Callable[[Iterable[UUID]], None] | None = None  # told which squads a commit changed

    @cached_property
    def address(self) -> Address:
        """Where it is."""
        return Address.parse(self.url)

    @property
    def _options(self) -> str:
        """The command line of each connection's server process; what the address says comes last, and wins."""
        ours = " ".join(f"-c {name}={value}" for name, value in SERVER_SETTINGS.items())
        return f"{ours} {self.address.options.get('options', '')}".strip()

    @cached_property
    def async_engine(self) -> AsyncEngine:
        """The engine that does the work: asyncpg, a fixed number of connections, no pings."""
        engine = create_async_engine(
            self.address.for_async(),
            poolclass=LoopPool,
            pool_size=self.settings.SQUAD_POOL_SIZE + self.settings.SQUAD_READ_CONNECTIONS + DOORBELL,
            max_overflow=0,
            pool_timeout=POOL_WAIT,
            connect_args={"server_settings": {"options": self._options}, "timeout": self.address.connect_timeout},
            hide_parameters=True,  # they hold texts and digests, and errors go to the log
            json_serializer=dumps,
            json_deserializer=json.loads,
        )
        event.listen(engine.sync_engine, "checkout", refuse_dead)
        event.listen(engine.sync_engine, "do_connect", self._connect_async)
        return engine

    @cached_property
    def AsyncSessionLocal(self) -> async_sessionmaker[AsyncSession]:  # noqa: N802  (a public name)
        """Makes sessions; each belongs to one task and is closed by `async with`."""
        return async_sessionmaker(self.async_engine, expire_on_commit=False)

    @cached_property
    def sync_engine(self) -> Engine:
        """psycopg2, for migrations, one-off scripts and code that can't be async yet."""
        engine = create_engine(
            self.address.for_sync(),
            pool_size=SYNC_POOL_SIZE,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"options": self._options},
            hide_parameters=True,  # they hold texts and digests, and errors go to the log
            json_serializer=dumps,
            json_deserializer=json.loads,
        )
        event.listen(engine, "do_connect", self._connect_sync)
        return engine

    @cached_property
    def SyncSessionLocal(self) -> sessionmaker[Session]:  # noqa: N802  (a public name)
        """Makes synchronous sessions."""
        return sessionmaker(self.sync_engine, expire_on_commit=False)

    @cached_property
    def reads(self) -> Lane:
        """Reads in one round trip."""
        return Lane(self.async_engine, self.settings.SQUAD_READ_CONNECTIONS, POOL_WAIT)

    async def open(self) -> None:
        """Make sure that the database runs and that its schema is current.

        Raises:
            StartError: it can't be reached, is too old, or its schema is not the program's.
        """
        await asyncio.to_thread(self.open_sync)

    def open_sync(self) -> None:
        """`open` for code without an event loop."""
        if self.cluster:
            self.cluster.ensure()
        schema.prepare(self.sync_engine, migrate=self.settings.SQUAD_MIGRATE == "on")

    async def ready(self) -> None:
        """Ask whether the database answers and its schema is current.

        Raises:
            Overloaded: it doesn't, or another program changed the schema.
        """
        row = await self.reads.row(schema.current)
        if row is None or row["version_num"] != schema.head():
            raise Overloaded("The database's schema is not this program's; run `asq admin migrate` and restart.")

    async def close(self) -> None:
        """Let running transactions end, then close every pool; a later use opens it again."""
        while self._running:
            await asyncio.wait(self._running)
        if "reads" in self.__dict__:
            await self.reads.close()
        if "async_engine" in self.__dict__:
            await self.async_engine.dispose()
        if "sync_engine" in self.__dict__:
            await asyncio.to_thread(self.sync_engine.dispose)

    async def transact(
        self,
        operation: Callable[Concatenate[AsyncSession, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a write operation in one session and one transaction, and commit it.

        It runs in a task of its own: whoever waits may be cancelled, the transaction is not torn. A
        deadlock, a serialization failure or a plan made stale by a migration runs it again.

        Raises:
            SquadError: what the operation raised; nothing of it is kept then.
            Overloaded: no connection, or no lock, in time.
        """
        task = asyncio.create_task(self._transact(lambda session: operation(session, *args, **kwargs)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_report_unheard)
            raise

    async def _transact(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        with failures.translating:
            for last in (*[False] * (TRIES - 1), True):
                try:
                    async with self.AsyncSessionLocal() as session, session.begin():
                        result = await work(session)
                except Exception as error:
                    if last or failures.sqlstate(error) not in failures.REPEATABLE:
                        raise
                else:
                    if self.on_change and CHANGED in session.info:
                        self.on_change(session.info[CHANGED])
                    return result
        raise AssertionError

    def _connect_async(
        self, dialect: Dialect, _record: ConnectionPoolEntry, args: Any, parameters: dict[str, Any]
    ) -> DBAPIConnection:
        errors = dialect.loaded_dbapi
        try:
            if not self.cluster:
                return dialect.connect(*args, **parameters)
            try:
                return dialect.connect(*args, **parameters | {"password": self.cluster.password()})
            except (SquadError, OSError, errors.Error) as error:
                if failures.sqlstate(error) == FULL:
                    raise
                await_only(asyncio.to_thread(self.cluster.ensure))
                return dialect.connect(*args, **parameters | {"password": self.cluster.password()})
        except OSError as error:  # asyncpg lets the socket's errors through, timeouts too
            raise errors.OperationalError(str(error) or type(error).__name__, error) from error

    def _connect_sync(
        self, dialect: Dialect, _record: ConnectionPoolEntry, args: Any, parameters: dict[str, Any]
    ) -> DBAPIConnection:
        if self.cluster:
            self.cluster.ensure()
            parameters["password"] = self.cluster.password()
        return dialect.connect(*args, **parameters)


def _report_unheard(task: asyncio.Task[Any]) -> None:
    """Log a defect in a transaction whose caller has left; an error of ours was for the caller alone."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, SquadError):
        log.error("A transaction failed after its caller had left.", exc_info=error)


def changed(session: AsyncSession, squad_id: UUID) -> None:
    """Note that a transaction wrote to a squad's log, for `Database.on_change` after the commit."""
    session.info.setdefault(CHANGED, set()).add(squad_id)


@contextmanager
def on_constraint(name: str, error: SquadError) -> Iterator[None]:
    """Raise `error` where the database refuses a row by the constraint `name`."""
    try:
        yield
    except exc.IntegrityError as refused:
        cause = getattr(refused.orig, "__cause__", None)
        if getattr(cause, "constraint_name", None) == name:
            raise error from refused
        raise


@cache
def default() -> Database:
    """The process's own instance, from the environment."""
    return Database(default_settings())


# FastAPI passes the request by this annotation; None stands for "outside one" and can't be written there.
_OUTSIDE: Final = cast("HTTPConnection", None)


def _serving(connection: HTTPConnection) -> Database:
    own: Database | None = getattr(connection.app.state, "database", None) if connection else None
    return own or default()


async def get_db(connection: HTTPConnection = _OUTSIDE) -> AsyncIterator[AsyncSession]:
    """Dependency: a session of the application that serves the request, or outside one of the default.

    The caller commits (`await db.commit()`); an error, or no commit, rolls back; it is always closed.
    """
    async with _serving(connection).AsyncSessionLocal() as session:
        yield session


@asynccontextmanager
async def get_db_context(connection: HTTPConnection = _OUTSIDE) -> AsyncIterator[AsyncSession]:
    """`get_db` as a context manager, for code outside a request or in a route's body."""
    async with _serving(connection).AsyncSessionLocal() as session:
        yield session


def get_sync_db(connection: HTTPConnection = _OUTSIDE) -> Iterator[Session]:
    """`get_db` on psycopg2. In a `def` route prefer `get_sync_db_context()` in its body: see DATABASE_GUIDE.md."""
    with _serving(connection).SyncSessionLocal() as session:
        yield session


@contextmanager
def get_sync_db_context(connection: HTTPConnection = _OUTSIDE) -> Iterator[Session]:
    """`get_db_context` on psycopg2."""
    with _serving(connection).SyncSessionLocal() as session:
        yield session


async def init_db(database: Database | None = None) -> None:
    """Make sure that the database is reachable and its schema current; the application's lifespan awaits it.

    Raises:
        StartError: one sentence that names the remedy.
    """
    await (database or default()).open()


async def close_db(database: Database | None = None) -> None:
    """Close every pool; the application's lifespan awaits it."""
    await (database or default()).close()


def __getattr__(name: str) -> Any:
    if name in ("async_engine", "AsyncSessionLocal", "sync_engine", "SyncSessionLocal"):
        return getattr(default(), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
