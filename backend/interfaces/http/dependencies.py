"""What routes ask for: the database, the actor, the squad, the feed, and the one way to write."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Path, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.convertors import Convertor, register_url_convertor

from agentsquad.schemas import limits
from agentsquad.schemas.fields import Part
from backend.core.database import Database
from backend.core.errors import Unauthenticated
from backend.core.statements import AnySelect
from backend.interfaces.credentials import Credentials
from backend.interfaces.http import answers
from backend.live.feed import Feed
from backend.operations import idempotency
from backend.operations.access import Actor, SquadRef

NO_KEY: Final = "A key is needed: send the header `Authorization: Bearer …`."


class Digits(Convertor[str]):
    """A part of an address that is a number, so that `claim` is none."""

    regex = "[0-9]+"

    def convert(self, value: str) -> str:
        """As it is: the parameter's own type says how large it may be."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("digits", Digits())
bearer = HTTPBearer(auto_error=False, description="An API key (`sqd_…`) or a member token (`sqm_…`).")


def database(request: Request) -> Database:
    """The application's database."""
    found: Database = request.app.state.database
    return found


def feed(request: Request) -> Feed:
    """The application's feed."""
    found: Feed = request.app.state.feed
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


async def still_known(request: Request, actor: Actor, squad: SquadRef) -> bool:
    """Whether the key that a long request came with is still good, and opens that squad still."""
    given = await bearer(request)
    credentials: Credentials = request.app.state.credentials
    return given is not None and await credentials.still_open(given.credentials, actor, squad)


SquadPart = Annotated[Part, Path(description="Its id or its name.")]


def squad(squad: SquadPart) -> SquadRef:
    """The squad that the address names."""
    return SquadRef.parse(squad)


Db = Annotated[Database, Depends(database)]
Who = Annotated[Actor, Depends(actor)]
InSquad = Annotated[SquadRef, Depends(squad)]
Number = Annotated[int, Path(ge=1, le=limits.NUMBER_MAX)]
Live = Annotated[Feed, Depends(feed)]


@dataclass(frozen=True, slots=True)
class Writer:
    """Whoever writes: one operation, one transaction, and the first answer again for a request that comes again."""

    database: Database
    actor: Actor
    key: str | None

    async def result(
        self, operation: Callable[..., Any], *args: object, show: Callable[[Any], AnySelect] | None = None
    ) -> Any:
        """What a write operation answers, called with the actor and `args`."""
        return await self.database.transact(idempotency.once, self.actor, self.key, operation, *args, show=show)

    async def write(
        self,
        operation: Callable[..., Any],
        *args: object,
        show: Callable[[Any], AnySelect] | None = None,
        status: int = 200,
    ) -> Response:
        """The same as a response."""
        return answers.json(await self.result(operation, *args, show=show), status)


def writer(
    database: Db,
    actor: Who,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=limits.IDEMPOTENCY_KEY,
            description="Your own name for this request: sent again, it gets the first one's answer, for a day.",
        ),
    ] = None,
) -> Writer:
    """The caller as a writer."""
    return Writer(database, actor, idempotency_key)


Writes = Annotated[Writer, Depends(writer)]
