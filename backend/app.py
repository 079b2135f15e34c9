"""The ASGI application: `uvicorn backend.app:app`, or `create_app()` with settings of one's own."""

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator
from importlib import metadata

from fastapi import FastAPI

from agentsquad.schemas import limits
from backend import keyfile, sweeper
from backend.core import database
from backend.core.database import Database, close_db, init_db
from backend.core.errors import SquadError
from backend.core.settings import Settings
from backend.core.spools import Spools
from backend.interfaces.credentials import Credentials
from backend.interfaces.dashboard import door
from backend.interfaces.http import (
    bodies,
    budgets,
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
    steps,
    tasks,
    users,
)
from backend.interfaces.mcp import door as mcp
from backend.interfaces.mcp import server
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
            await own.transact(accounts.first, lambda secret: keyfile.keep(own.settings.SQUAD_HOME, secret))
        except SquadError as error:
            app.state.refused = error  # for whoever says it in one sentence
            await close_db(own)
            raise
        feed = app.state.feed = Feed(own)
        running = [asyncio.create_task(sweeper.run(own)), asyncio.create_task(feed.run())]
        if own.settings.SQUAD_RUNNER == "on":
            running.append(asyncio.create_task(_run_members(own, feed)))
        try:
            async with mcp.opened(server.create(), app.state):
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
    app.add_middleware(mcp.Door, state=app.state)
    errors.install(app)
    for room in (users, keys, sessions, exports, squads, members, messages, tasks, steps, budgets, events, health):
        app.router.routes += room.router.routes  # `include_router` would build each a second time
    return app


async def _run_members(database: Database, feed: Feed) -> None:
    """Run hosted members until cancelled. The libraries for it take a second to load, for which nobody waits."""
    try:
        runners = await asyncio.to_thread(importlib.import_module, "backend.runner.runners")
        await runners.run(database, feed)
    except Exception:
        log.exception("Hosted members are not run by this process; correct what is wrong, and start it again.")


app = create_app()
