"""From the text of a key to the actor it stands for, remembered for at most a second.

So a key that was revoked is dead on every server process within that second, and a known one costs no
query. Unknown ones are never remembered; the same key is looked up once at a time.
"""

import asyncio
from typing import Final

from backend.core.database import Database
from backend.core.errors import Unauthenticated
from backend.operations import keys
from backend.operations.access import Actor

REMEMBERED: Final = 1.0  # seconds
AT_MOST: Final = 10_000  # keys


class Credentials:
    """The keys that one server process has just seen."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, tuple[float, Actor]] = {}
        self._asked: dict[str, asyncio.Task[Actor | None]] = {}

    async def actor(self, secret: str) -> Actor:
        """Whom a key or a token stands for.

        Raises:
            Unauthenticated: nobody, or nobody any more.
        """
        known = self._known.get(secret)
        if known is not None and known[0] > asyncio.get_running_loop().time():
            return known[1]
        asked = self._asked.get(secret)
        if asked is None:
            asked = self._asked[secret] = asyncio.create_task(self._look_up(secret))
            asked.add_done_callback(lambda _: self._asked.pop(secret, None))
        actor = await asyncio.shield(asked)
        if actor is None:
            raise Unauthenticated("This key is unknown or revoked; make a new one.")
        return actor

    async def _look_up(self, secret: str) -> Actor | None:
        asked_at = asyncio.get_running_loop().time()
        actor = await self._ask(secret)
        self._known.pop(secret, None)
        if actor is not None:
            if len(self._known) >= AT_MOST:
                self._known.clear()
            self._known[secret] = (asked_at + REMEMBERED, actor)
        return actor

    async def _ask(self, secret: str) -> Actor | None:
        digest = keys.digest(secret)
        if digest is None:
            return None
        if secret.startswith(keys.MEMBER):
            row = await self._database.reads.row(keys.member_of, digest)
            claim = row and row["attempt"] and f"{row['task_number']}/{row['attempt']}"
            return row and Actor(member_id=row["member_id"], squad_id=row["squad_id"], claim=claim)
        row = await self._database.reads.row(keys.user_of, digest)
        return row and Actor(user_id=row["user_id"], is_admin=row["is_admin"])
