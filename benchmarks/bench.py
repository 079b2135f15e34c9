"""What every row needs: a PostgreSQL of the benchmark's own, the rows in it, and the processes of all sides."""

import os
import resource
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import psycopg2

from backend.core.database import Database
from backend.core.embedded import Cluster
from backend.core.settings import Settings
from backend.core.urls import Address
from benchmarks import cpu
from benchmarks.data import CLIENTS, Data, fill
from benchmarks.processes import Child
from benchmarks.servers import Server

SIDES = ("b0", "b1", "b2", "ours", "limit")
FILES = 8192  # open files that many held connections need


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Args:
        rounds: in which the sides take turns.
        seconds: of one side's turn in the rows without HTTP.
        http_seconds: of one side's turn over HTTP.
        warm_seconds: before each of these, not counted.
        levels: numbers of HTTP clients.
        open_levels: the same where nobody checks a key.
        bursts: numbers of requests that are opened at once.
        hold_seconds: for which each of them is held.
        within: of that time, until when an answer counts. Less than 2, so that all that count were held at one moment.
    """

    rounds: int = 15
    seconds: float = 0.3
    http_seconds: float = 0.4
    warm_seconds: float = 0.1
    levels: tuple[int, ...] = (1, 16, 64, CLIENTS)
    open_levels: tuple[int, ...] = (16, 64)
    bursts: tuple[int, ...] = (15, 40, 100, 250, 500, 1000, 2000)
    hold_seconds: float = 1.5
    within: float = 1.9


QUICK = Plan(2, 0.05, 0.1, 0.05, (16, 64), (16,), (15, 40, 200), 0.5)


class Bench:
    """The database, its addresses, and how processes are made that use it."""

    def __init__(self, plan: Plan, cluster: Cluster, home: Path) -> None:
        self.plan = plan
        self.url = cluster.url
        self.bulk_url = on(cluster.url, database="bulk")
        self.slow_url = on(cluster.url, host=str(home))
        self.body = home / "body.json"
        self._socket = cluster.socket_dir / ".s.PGSQL.5432"
        self._home = home
        self._file = home / "data.json"
        self.data: Data = fill(self.url)
        self.data.save(self._file)
        self._make_bulk()

    def variables(self, url: str) -> dict[str, str]:
        """The environment of every side."""
        address = Address.parse(url)
        return {
            "DATABASE_URL": url,
            "SQUAD_HOME": str(self._home),
            "BENCH_SYNC_URL": address.for_sync().render_as_string(hide_password=False),
            "BENCH_ASYNC_URL": address.for_async().render_as_string(hide_password=False),
            "BENCH_DATA": str(self._file),
            "BENCH_BODY": str(self.body),
            "BENCH_HOLD_SECONDS": str(self.plan.hold_seconds),
        } | ({} if self.body.exists() else {"BENCH_BODY": os.devnull})

    @contextmanager
    def workers(self, url: str) -> Iterator[dict[str, Child]]:
        """A process for each side of the rows without HTTP."""
        with ExitStack() as stack:
            yield {side: stack.enter_context(Child("worker", side, extra=self.variables(url))) for side in SIDES}

    @contextmanager
    def serving(self, servers: Mapping[str, Server]) -> Iterator[Mapping[str, Server]]:
        """Servers that run as long as the block."""
        try:
            for server in servers.values():
                server.start()
            for server in servers.values():
                server.ready()
            yield servers
        finally:
            for server in servers.values():
                server.kill()

    def load(self) -> Child:
        """A load generator."""
        return Child("load", extra=self.variables(self.url))

    @contextmanager
    def network(self, milliseconds: float) -> Iterator[Child]:
        """A network behind `slow_url`."""
        listen = self._home / self._socket.name
        with Child("proxy", str(listen), str(self._socket), str(milliseconds), extra={}) as proxy:
            proxy.ask()
            yield proxy
        listen.unlink()

    def query(self, sql: str, url: str | None = None) -> list[tuple[Any, ...]]:
        """Ask the database something, or tell it, outside of what is measured."""
        with closing(psycopg2.connect(url or self.url, options="-c statement_timeout=60s")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []

    def postmaster(self) -> int:
        """The process id of PostgreSQL's own process."""
        with closing(psycopg2.connect(self.url)) as connection:
            return cpu.parent(connection.info.backend_pid)

    def _make_bulk(self) -> None:
        self.query("CREATE DATABASE bulk")
        database = Database(Settings(DATABASE_URL=self.bulk_url))
        database.open_sync()
        database.sync_engine.dispose()


def on(url: str, *, database: str | None = None, host: str | None = None) -> str:
    """The same address with another database or folder of sockets."""
    split = urlsplit(url)
    query = dict(parse_qsl(split.query)) | ({"host": host} if host else {})
    path = f"/{database}" if database else split.path
    return split._replace(path=path, query=urlencode(query)).geturl()


@contextmanager
def bench(plan: Plan) -> Iterator[Bench]:
    """A PostgreSQL in a temporary home, destroyed afterwards."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most) if most > 0 else FILES, most))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder)
        cluster = Cluster(home / "postgresql")
        try:
            cluster.ensure()
            yield Bench(plan, cluster, home)
        finally:
            cluster.destroy()
