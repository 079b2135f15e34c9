"""The journal of hosted members over HTTP."""

from typing import Annotated

from fastapi import Query, Response

from agentsquad.schemas import limits
from agentsquad.schemas.steps import Steps
from backend.interfaces.http import answers
from backend.interfaces.http.dependencies import Db, InSquad, Number, Who
from backend.interfaces.http.errors import Router
from backend.operations import steps

router = Router(prefix="/squads/{squad}/tasks/{number:digits}/steps", tags=["steps"])


@router.get("", response_model=Steps)
async def steps_page(
    database: Db,
    actor: Who,
    squad: InSquad,
    number: Number,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE,
    cursor: Annotated[int, Query(ge=0, le=limits.NUMBER_MAX)] = 0,
) -> Response:
    """What a task's hosted members did, step by step, over all attempts."""
    body = await database.reads.json(steps.page, actor, squad, number, cursor, limit)
    return answers.found(body, answers.NO_TASK)
