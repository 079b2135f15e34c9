"""From the text of a key to the actor it stands for, remembered for at most a second.

So a key that was revoked is dead on every server process within that second, and a known one costs no
query. Unknown ones are never remembered; the same key is looked up once at a time.
"""

import asyncio
from typing import Final

from backend.core.database import Database
from backend.core.errors import Overloaded, Unauthenticated
from backend.operations import events, keys
from backend.operations.access import Actor, SquadRef

REMEMBERED: Final = 1.0  # seconds
AT_MOST: Final = 10_000  # keys
KEY: Final = "key"
BROWSER: Final = "browser"


class Credentials:
    """The keys that one server process has just seen."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[str, str], tuple[float, Actor]] = {}
        self._asked: dict[tuple[str, str], asyncio.Task[Actor | None]] = {}

    async def actor(self, secret: str, kind: str = KEY) -> Actor:
        """Whom a key or a token stands for.

        Args:
            secret: its text.
            kind: of which kind it has to be; each opens its own door only. A token is a key here.

        Raises:
            Unauthenticated: nobody, or nobody any more.
        """
        known = self._known.get((kind, secret))
        if known is not None and known[0] > asyncio.get_running_loop().time():
            return known[1]
        asked = self._asked.get((kind, secret))
        if asked is None:
            asked = self._asked[kind, secret] = asyncio.create_task(self._look_up(secret, kind))
            asked.add_done_callback(lambda _: self._asked.pop((kind, secret), None))
        actor = await asyncio.shield(asked)
        if actor is None:
            raise Unauthenticated("This key is unknown or revoked; make a new one.")
        return actor

    async def still_open(self, secret: str, actor: Actor, squad: SquadRef, kind: str = KEY) -> bool:
        """Whether a key that somebody came with a while ago is still good, and opens that squad still.

        Args:
            secret: its text.
            actor: whom it stood for.
            squad: which it opened.
            kind: of which kind it is.
        """
        try:
            await self.actor(secret, kind)
            return await self._database.reads.row(events.last, actor, squad) is not None
        except Overloaded:
            return True  # nobody can say, and nothing can be read either
        except Unauthenticated:
            return False

    async def _look_up(self, secret: str, kind: str) -> Actor | None:
        asked_at = asyncio.get_running_loop().time()
        actor = await self._ask(secret, kind)
        self._known.pop((kind, secret), None)
        if actor is not None:
            if len(self._known) >= AT_MOST:
                self._known.clear()
            self._known[kind, secret] = (asked_at + REMEMBERED, actor)
        return actor

    async def _ask(self, secret: str, kind: str) -> Actor | None:
        digest = keys.digest(secret)
        if digest is None:
            return None
        if secret.startswith(keys.MEMBER) and kind == KEY:
            row = await self._database.reads.row(keys.member_of, digest)
            claim = row and row["attempt"] and f"{row['task_number']}/{row['attempt']}"
            return row and Actor(member_id=row["member_id"], squad_id=row["squad_id"], claim=claim)
        row = await self._database.reads.row(keys.user_of, digest, kind)
        return row and Actor(user_id=row["user_id"], is_admin=row["is_admin"])
