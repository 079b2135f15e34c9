"""The limit: asyncpg alone on prepared statements, no pool; over HTTP the same server with a constant answer."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from starlette.types import Receive, Scope, Send

from backend.core.settings import Settings
from backend.core.statements import ONE, Statement
from backend.models.base import new_id
from backend.operations import squads, users
from backend.operations.access import Actor

BODY = Path(os.environ["BENCH_BODY"]).read_bytes() if "BENCH_BODY" in os.environ else b"{}"
Arguments = Sequence[Sequence[object]]
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


class Direct:
    """The very statements of `ours`, their arguments computed beforehand."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._user = Statement(users.get, ONE)
        self._squads = Statement(squads.page, ONE)
        self._connections: list[Any] = []

    async def open(self) -> None:
        """Connect and prepare: one connection for one after another, as many as the lane has for many at once."""
        count = Settings(DATABASE_URL=self._url).SQUAD_READ_CONNECTIONS
        self._connections = [await asyncpg.connect(self._url) for _ in range(count)]
        self._one, *_ = self._users = [await connection.prepare(self._user.sql) for connection in self._connections]
        self._together = [await connection.prepare(self._user.many) for connection in self._connections]
        self._page = await self._connections[0].prepare(self._squads.sql)
        for connection in self._connections:
            await connection.execute("SELECT 1")  # preparing alone leaves a transaction open, with its locks

    def arguments(self, actor: Actor, user_id: str) -> Sequence[object]:
        """What `user_json` takes."""
        return self._user.arguments((actor, user_id))

    async def user_json(self, *arguments: object) -> bytes:
        """An account as JSON, as PostgreSQL built it."""
        text: str = await self._one.fetchval(*arguments)
        return text.encode()

    async def many(self, all_arguments: Arguments) -> None:
        """As many at once as there are connections, each taking its share one after another."""

        async def share(statement: Any, part: Arguments) -> None:
            for arguments in part:
                (await statement.fetchval(*arguments)).encode()

        await self._shared(share, self._users, all_arguments)

    async def many_together(self, all_arguments: Arguments) -> None:
        """The same, each connection taking its whole share in one round trip, as the lane does under load."""

        async def share(statement: Any, part: Arguments) -> None:
            for row in await statement.fetchmany(part):
                row[0].encode()

        await self._shared(share, self._together, all_arguments)

    async def _shared(
        self, share: Callable[[Any, Arguments], Awaitable[None]], statements: Sequence[Any], arguments: Arguments
    ) -> None:
        count = len(statements)
        await asyncio.gather(*(share(statement, arguments[index::count]) for index, statement in enumerate(statements)))

    async def squads_json(self, owner_id: UUID, limit: int) -> bytes:
        """A user's squads as JSON, as PostgreSQL built it."""
        text: str = await self._page.fetchval(*self._squads.arguments((Actor(user_id=owner_id), "", limit)))
        return text.encode()

    async def insert_users(self, people: Iterable[tuple[str, str]]) -> None:
        """New accounts of these addresses and names, by COPY."""
        rows = ((new_id(), email, name) for email, name in people)
        await self._connections[0].copy_records_to_table("users", records=rows, columns=["id", "email", "name"])

    async def close(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            await connection.close()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request with the same bytes."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
