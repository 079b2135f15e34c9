"""Squads over HTTP."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from agentsquad.schemas import limits
from agentsquad.schemas.fields import Part
from agentsquad.schemas.squads import Squad, SquadNew, Squads
from agentsquad.schemas.tasks import Board
from backend.interfaces.http import answers, hot
from backend.interfaces.http.dependencies import Db, SquadPart, Who
from backend.operations import squads, tasks
from backend.operations.access import SquadRef

router = APIRouter(tags=["squads"])
NAMED: Final[dict[str, Any]] = {"convert": SquadRef.parse, "missing": answers.NO_SQUAD, "part": SquadPart}

READS = [
    hot.read(router, "/squads/{squad}", squads.get, Squad, **NAMED),
    hot.read(router, "/squads/{squad}/board", tasks.board, Board, **NAMED),
]


@router.get("/squads", response_model=Squads)
async def squads_page(
    database: Db,
    actor: Who,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE,
    cursor: Annotated[Part, Query()] = "",
) -> Response:
    """One's squads, each with its owner and its members, by name."""
    return answers.json(await database.reads.json(squads.page, actor, cursor, limit))


@router.post("/squads", response_model=Squad, status_code=201)
async def squads_create(database: Db, actor: Who, new: SquadNew) -> Response:
    """Make a squad. Its maker owns it and is its first member."""
    squad = SquadRef(await database.transact(squads.create, actor, new), None)
    return answers.json(await database.reads.json(squads.get, actor, squad), 201)
