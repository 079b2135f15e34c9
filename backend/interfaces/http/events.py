"""The log over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from agentsquad.schemas import limits
from agentsquad.schemas.events import Events
from backend.interfaces.http import answers
from backend.interfaces.http.dependencies import Db, InSquad, Who
from backend.operations import events

router = APIRouter(prefix="/squads/{squad}", tags=["events"])


@router.get("/events", response_model=Events)
async def events_after(
    database: Db,
    actor: Who,
    squad: InSquad,
    after: Annotated[int, Query(ge=0, le=limits.POSITION_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE,
) -> Response:
    """The events behind a position, in order. Read on after `last`."""
    return answers.found(await database.reads.json(events.after, actor, squad, after, limit), answers.NO_SQUAD)
