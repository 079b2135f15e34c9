"""Who looks at which squad: what every page of a squad needs before its own reads, and how its forms write."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agentsquad.schemas import limits
from agentsquad.schemas.fields import Part
from agentsquad.schemas.members import Me
from agentsquad.schemas.squads import Squad
from agentsquad.schemas.tasks import Tasks
from backend.core.database import Database
from backend.core.errors import NotFound
from backend.core.statements import Query
from backend.interfaces.dashboard import pages, sessions
from backend.operations import events, members, squads, tasks
from backend.operations.access import Actor, SquadRef

NO_SQUAD = "There is no such squad, or you are no part of it; go on from your squads."
NO_TASK = "There is no such task; go on from the board."
_PART: TypeAdapter[str] = TypeAdapter(Part)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody at the address of a squad."""

    request: Request
    actor: Actor
    squad: SquadRef
    base: str

    @property
    def database(self) -> Database:
        """The application's."""
        found: Database = self.request.app.state.database
        return found

    async def read(self, query: Query, *values: object, missing: str = NO_SQUAD) -> bytes:
        """The JSON of a read of the squad.

        Raises:
            NotFound: there is nothing, or nothing for this visitor.
        """
        return self._found(await self.database.reads.json(query, self.actor, self.squad, *values), missing)

    async def value(self, query: Query, *values: object) -> bytes:
        """A read that is one JSON value, of a task."""
        return self._found(await self.database.reads.value(query, self.actor, self.squad, *values), NO_TASK)

    async def write(self, operation: Callable[..., Awaitable[Any]], *values: object, to: str = "") -> Response:
        """Run an operation; then the page below the squad's address is asked for, or asks itself."""
        await self.database.transact(operation, self.actor, self.squad, *values)
        if pages.wants_fragment(self.request):
            return Response(status_code=204)
        return RedirectResponse(self.base + to, 303)

    def number(self) -> int:
        """The task that the address names.

        Raises:
            NotFound: it can't be one's number.
        """
        number = whole(self.request.path_params["number"])
        if not 1 <= number <= limits.NUMBER_MAX:
            raise NotFound(NO_TASK)
        return number

    @staticmethod
    def _found(body: bytes | None, missing: str) -> bytes:
        if body is None:
            raise NotFound(missing)
        return body


@dataclass(frozen=True, slots=True)
class Setting:
    """What stands around every page of a squad.

    Args:
        position: of the log, before anything else was read: what comes behind it is news.
        me: the visitor as a member.
        squad: with its members.
        questions: what waits for the visitor's answer.
    """

    position: int
    me: Me
    squad: Squad
    questions: Tasks


async def visitor(request: Request) -> Visitor:
    """Whose browser it is, and which squad the address names.

    Raises:
        Unauthenticated: nobody's.
        NotFound: what is named can be no squad.
    """
    who = await sessions.actor(request)
    part = named(request, "squad", NO_SQUAD)
    return Visitor(request, who, SquadRef.parse(part), f"/ui/{quote(part, safe='')}")


async def setting(visitor: Visitor) -> Setting:
    """What stands around the page.

    Raises:
        NotFound: no such squad, or none that the visitor is part of.
    """
    known = await visitor.database.reads.row(events.last, visitor.actor, visitor.squad)
    if known is None:
        raise NotFound(NO_SQUAD)
    me, squad, questions = await asyncio.gather(
        visitor.read(members.me), visitor.read(squads.get), visitor.read(tasks.questions, limits.PAGE_MAX)
    )
    return Setting(
        known["position"],
        Me.model_validate_json(me),
        Squad.model_validate_json(squad),
        Tasks.model_validate_json(questions),
    )


async def page(visitor: Visitor, setting: Setting, template: str, **context: Any) -> Response:
    """A page of a squad."""
    around: dict[str, Any] = {"base": visitor.base, "set": setting, "open": setting.squad.archived_at is None}
    return await pages.page(visitor.request, template, **around, **context)


def named(request: Request, part: str, missing: str) -> str:
    """What a part of the address names.

    Raises:
        NotFound: it can be nothing's name.
    """
    try:
        return _PART.validate_python(request.path_params[part])
    except ValidationError:
        raise NotFound(missing) from None


def whole(text: str) -> int:
    """A position of the log as text; 0 if it is none."""
    fits = text.isascii() and text.isdecimal() and len(text) < len(str(limits.POSITION_MAX))
    return int(text) if fits else 0


def position(request: Request, name: str) -> int:
    """A position of the log that the address names; 0 if it names none."""
    return whole(request.query_params.get(name, ""))
