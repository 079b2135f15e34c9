"""What routes ask for: the database, the actor, the squad."""

from dataclasses import replace
from typing import Annotated, Final

from fastapi import Depends, Header, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from agentsquad.schemas.fields import Part
from backend.core.database import Database
from backend.core.errors import Unauthenticated
from backend.operations.access import Actor, SquadRef

NO_KEY: Final = "A key is needed: send the header `Authorization: Bearer …`."
bearer = HTTPBearer(auto_error=False, description="An API key (`sqd_…`) or a member token (`sqm_…`).")


def database(request: Request) -> Database:
    """The application's database."""
    found: Database = request.app.state.database
    return found


async def actor(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    squad_member: Annotated[
        str | None, Header(description="The external member for whom a squad's owner acts; in UTF-8.")
    ] = None,
) -> Actor:
    """Whoever the key stands for.

    Raises:
        Unauthenticated: no key, or none that is known.
    """
    if given is None:
        raise Unauthenticated(NO_KEY)
    found: Actor = await request.app.state.credentials.actor(given.credentials)
    if squad_member is None:
        return found
    return replace(found, acts_as=squad_member.encode("latin-1").decode(errors="replace"))


SquadPart = Annotated[Part, Path(description="Its id or its name.")]


def squad(squad: SquadPart) -> SquadRef:
    """The squad that the address names."""
    return SquadRef.parse(squad)


Db = Annotated[Database, Depends(database)]
Who = Annotated[Actor, Depends(actor)]
InSquad = Annotated[SquadRef, Depends(squad)]
