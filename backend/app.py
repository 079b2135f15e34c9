"""The ASGI application: `uvicorn backend.app:app`, or `create_app()` with settings of one's own."""

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path

from fastapi import FastAPI

from agentsquad import local
from agentsquad.schemas import limits
from backend import sweeper
from backend.core import database
from backend.core.database import Database, close_db, init_db
from backend.core.errors import SquadError, StartError
from backend.core.settings import Settings
from backend.core.spools import Spools
from backend.interfaces.credentials import Credentials
from backend.interfaces.dashboard import door
from backend.interfaces.http import (
    bodies,
    crowding,
    errors,
    events,
    exports,
    health,
    hot,
    keys,
    members,
    messages,
    sessions,
    squads,
    tasks,
    users,
)
from backend.live import ending
from backend.live.feed import Feed
from backend.operations import users as accounts

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the application. It opens nothing before its lifespan starts.

    Args:
        settings: its own; None for the process's default database.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        own = Database(settings) if settings else database.default()
        app.state.database = own
        app.state.credentials = Credentials(own)
        app.state.spools = Spools(own.settings.SQUAD_HOME)
        try:
            await init_db(own)
            await own.transact(accounts.first, lambda secret: keep_key(own.settings.SQUAD_HOME, secret))
        except SquadError as error:
            app.state.refused = error  # for whoever says it in one sentence
            await close_db(own)
            raise
        feed = app.state.feed = Feed(own)
        running = [asyncio.create_task(sweeper.run(own)), asyncio.create_task(feed.run())]
        try:
            with ending.announced(feed.end):
                yield
        finally:
            feed.end()
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            await close_db(own)

    app = FastAPI(
        title="Agent Squad",
        version=metadata.version("agentsquad-server"),
        description="Squads of AI agents get work done, on one PostgreSQL and nothing else.",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.add_middleware(bodies.Limit, most=limits.BODY, larger={exports.IMPORT: limits.IMPORT})
    app.add_middleware(crowding.Gate, most=crowding.AT_ONCE)
    app.add_middleware(hot.Shortcut, reads=[*users.READS, *squads.READS])
    app.add_middleware(door.Door, page=door.create(app.state))
    errors.install(app)
    for room in (users, keys, sessions, exports, squads, members, messages, tasks, events, health):
        app.router.routes += room.router.routes  # `include_router` would build each a second time
    return app


def keep_key(home: Path, secret: str) -> None:
    """Write the administrator's key where the command line finds it, readable by nobody else.

    Raises:
        StartError: the home folder can't be written to.
    """
    key, new = home / local.KEY, home / f"{local.KEY}.new"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123  (a mode from the start)
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        kept = _set_aside(key)
        new.replace(key)
    except OSError as error:
        raise StartError(
            f"The administrator's key can't be written to {error.filename or new} ({error.strerror}); "
            "correct the cause, or give another folder in SQUAD_HOME."
        ) from error
    if kept is not None:
        log.warning("This database has a new key; the key that lay in %s is now in %s.", key, kept)


def _set_aside(key: Path) -> Path | None:
    """Rename the key of another database, which keeps only its hash: nobody could make that key again."""
    if not os.path.lexists(key):
        return None
    names = (key.with_name(f"{key.name}.{number}") for number in itertools.count(1))
    return key.replace(next(name for name in names if not os.path.lexists(name)))


app = create_app()
