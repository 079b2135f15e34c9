"""A squad as a file over HTTP. Either way it lies in a temporary file first, so no caller holds up the database."""

from contextlib import AsyncExitStack
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from agentsquad.schemas.exports import Imported
from agentsquad.schemas.fields import Name
from backend.core.errors import Forbidden, Invalid
from backend.core.spools import Spool, Spools
from backend.interfaces.http.dependencies import Db, InSquad, Who, Writes
from backend.interfaces.http.errors import Router
from backend.operations import exports, imports

router = Router(tags=["squads"])
IMPORT: Final = "/squads/import"
TYPE: Final = "application/x-ndjson"
LINES: Final[dict[str, Any]] = {"content": {TYPE: {"schema": {"type": "string"}}}}


class Leaving(StreamingResponse):
    """A spool on its way out; it is gone when the answer has ended, however it ends."""

    def __init__(self, name: str, spool: Spool, held: AsyncExitStack) -> None:
        headers = {
            "Content-Length": str(spool.size),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}.jsonl",
            "Cache-Control": "no-store",
        }
        super().__init__(spool.chunks(), 200, headers, TYPE)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._held:
            await super().__call__(scope, receive, send)


@router.get(
    "/squads/{squad}/export",
    response_class=StreamingResponse,
    responses={200: {**LINES, "description": "One line for each row, from one snapshot"}},
)
async def exports_squad(request: Request, database: Db, actor: Who, squad: InSquad) -> Response:
    """A squad as JSON lines, log and all; `POST /squads/import` takes them. The owner only."""
    async with AsyncExitStack() as held:
        spool = await held.enter_async_context(_spools(request).one())
        name = await database.transact(exports.squad, actor, squad, spool)
        return Leaving(name, spool, held.pop_all())


@router.post(
    IMPORT, response_model=Imported, status_code=201, openapi_extra={"requestBody": LINES | {"required": True}}
)
async def imports_squad(
    request: Request,
    writer: Writes,
    name: Annotated[
        Name | None, Query(description="How the squad is called here; as there, unless it is given.")
    ] = None,
) -> Response:
    """Make a squad of one's own of the lines that an export answered: all of it, or nothing."""
    if writer.actor.user_id is None:
        raise Forbidden("Only an account may import a squad; use an API key.")
    async with _spools(request).one() as spool:
        try:
            async for chunk in request.stream():
                await spool.write(chunk)
        except ClientDisconnect:
            raise Invalid("The file is cut off: the connection was lost.", field="body") from None
        return await writer.write(imports.squad, name, spool, status=201)


def _spools(request: Request) -> Spools:
    found: Spools = request.app.state.spools
    return found
