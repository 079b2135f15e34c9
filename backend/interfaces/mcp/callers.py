"""Who calls a tool: the member of the token that came with the request, and how it reads and writes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.datastructures import Headers, State

from agentsquad.schemas import limits
from backend.core.database import Database
from backend.core.errors import Invalid, NotFound, Unauthenticated
from backend.core.statements import AnySelect, Query
from backend.interfaces.credentials import Credentials
from backend.live.feed import Feed
from backend.operations import idempotency, members, tasks
from backend.operations.access import Actor, SquadRef

NO_TOKEN: Final = "A member token is needed: send the header `Authorization: Bearer sqm_…`."  # noqa: S105  (a sentence)
NO_MEMBER: Final = "This is a user's key, and MCP is for members."
SELF: Final = "client"


@dataclass(frozen=True, slots=True)
class Caller:
    """A member on the line.

    Args:
        database: the application's.
        feed: the process's.
        credentials: what the process knows of tokens.
        actor: the member.
        squad: its squad.
        token: the text that it came with.
        key: its own name for this request: sent again, it gets the first one's answer.
        beats: whether it renews its leases itself, and not with every call.
        lease: the seconds of the shortest lease that its calls renew, once it was seen.
    """

    database: Database
    feed: Feed
    credentials: Credentials
    actor: Actor
    squad: SquadRef
    token: str
    key: str | None
    beats: bool
    lease: int | None = None

    @classmethod
    async def of(cls, state: State, headers: Headers) -> "Caller":
        """Whom a request's headers stand for.

        Raises:
            Unauthenticated: no token, or none that is known, or a user's key.
            Invalid: its own name for the request is empty or too long.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(NO_TOKEN)
        key = headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= limits.IDEMPOTENCY_KEY:
            raise Invalid(f"The Idempotency-Key has 1 to {limits.IDEMPOTENCY_KEY} characters.")
        actor = await state.credentials.actor(token.strip())
        if actor.squad_id is None:
            raise Unauthenticated(NO_MEMBER)
        return cls(
            database=state.database,
            feed=state.feed,
            credentials=state.credentials,
            actor=actor,
            squad=SquadRef(actor.squad_id, None),
            token=token.strip(),
            key=key,
            beats=headers.get("squad-heartbeat") == SELF,
        )

    async def seen(self) -> "Caller":
        """The same, noted as there; unless it does so itself, that renews the leases of what it claimed here."""
        operation = members.see if self.beats else tasks.renew
        return replace(self, lease=await self.database.transact(operation, self.actor, self.squad))

    async def read(self, query: Query, *values: object, missing: str = "Squad not found") -> Any:
        """The row of a read, as JSON.

        Raises:
            NotFound: there is none.
        """
        return self._found(await self.database.reads.json(query, self.actor, self.squad, *values), missing)

    async def value(self, query: Query, *values: object, missing: str = "Squad not found") -> Any:
        """The only column of a read's row, which is JSON already.

        Raises:
            NotFound: there is none.
        """
        return self._found(await self.database.reads.value(query, self.actor, self.squad, *values), missing)

    async def write(
        self, operation: Callable[..., Any], *args: object, show: Callable[[Any], AnySelect] | None = None
    ) -> Any:
        """What a write operation answers, as JSON; None if it found nothing to do."""
        answer = await self.database.transact(
            idempotency.once, self.actor, self.key, operation, self.squad, *args, show=show
        )
        return answer if answer is None else json.loads(answer)

    async def unread(self) -> int:
        """How many messages wait for it."""
        me = await self.read(members.me)
        return int(me["unread"])

    async def there(self) -> bool:
        """Whether its token is still good, and opens the squad still."""
        return await self.credentials.still_open(self.token, self.actor, self.squad)

    @staticmethod
    def _found(body: bytes | None, missing: str) -> Any:
        if body is None:
            raise NotFound(missing)
        return json.loads(body)
