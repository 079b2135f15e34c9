"""Ours: the product's own code paths, nothing special for the benchmark.

Over HTTP it is `backend.app:app` itself. What stands here is how a process drives the same paths without HTTP,
and the product's application with one part exchanged for the rows that ask for it.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from uuid import UUID

from fastapi import FastAPI

from backend.app import create_app
from backend.core import bulk
from backend.core.database import Database
from backend.core.settings import Settings
from backend.models import User
from backend.models.base import new_id
from backend.operations import squads, users
from backend.operations.access import Actor
from benchmarks.held import Waiting

COLUMNS = ("id", "email", "name")


class Direct:
    """The read lane, and COPY in a transaction."""

    def __init__(self, url: str) -> None:
        self._database = Database(Settings(DATABASE_URL=url))

    async def user_json(self, actor: Actor, user_id: str) -> bytes:
        """An account as JSON, as PostgreSQL built it."""
        return await self._database.reads.json(users.get, actor, user_id) or b"null"

    async def squads_json(self, owner_id: UUID, limit: int) -> bytes:
        """A user's squads as JSON, as PostgreSQL built it."""
        return await self._database.reads.json(squads.page, Actor(user_id=owner_id), "", limit) or b"null"

    async def insert_users(self, people: Iterable[tuple[str, str]]) -> None:
        """New accounts of these addresses and names, by COPY in one transaction."""
        rows = ((new_id(), email, name) for email, name in people)
        await self._database.transact(bulk.copy_rows, User, rows, COLUMNS)

    async def close(self) -> None:
        """Close every connection."""
        await self._database.close()


class _Anybody:
    """Takes any key, and looks none up."""

    async def actor(self, _secret: str) -> Actor:
        return Actor(is_admin=True)


def without_keys() -> FastAPI:
    """The product's application, with a key check that lets everybody in."""
    app = create_app()
    lifespan = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def unlocked(given: FastAPI) -> AsyncIterator[None]:
        async with lifespan(given):
            given.state.credentials = _Anybody()
            yield

    app.router.lifespan_context = unlocked
    return app


def held() -> Waiting:
    """The product's application behind something that waits."""
    return Waiting(without_keys(), float(os.environ["BENCH_HOLD_SECONDS"]))
