"""Squads and their templates over HTTP."""

from collections.abc import Callable
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query, Response

from agentsquad.schemas import limits
from agentsquad.schemas.fields import Part
from agentsquad.schemas.members import PauseNew
from agentsquad.schemas.squads import Squad, SquadEdit, SquadNew, Squads, Templates
from agentsquad.schemas.tasks import Board
from backend.core.statements import AnySelect
from backend.interfaces.http import answers, hot
from backend.interfaces.http.dependencies import Db, InSquad, SquadPart, Who, Writer, Writes
from backend.interfaces.http.errors import Router
from backend.operations import squads, tasks, templates
from backend.operations.access import SquadRef

router = Router(tags=["squads"])
NAMED: Final[dict[str, Any]] = {"convert": SquadRef.parse, "missing": answers.NO_SQUAD, "part": SquadPart}

READS = [
    hot.read(router, "/squads/{squad}", squads.get, Squad, **NAMED),
    hot.read(router, "/squads/{squad}/board", tasks.board, Board, **NAMED),
]


@router.get("/templates")
async def templates_page(_: Who) -> Templates:
    """What squads can be made from, by name."""
    return templates.every()


@router.get("/squads", response_model=Squads)
async def squads_page(
    database: Db,
    actor: Who,
    archived: Annotated[bool, Query(description="Those that are archived instead.")] = False,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE,
    cursor: Annotated[Part, Query()] = "",
) -> Response:
    """One's squads, each with its owner and its members, by name."""
    return answers.json(await database.reads.json(squads.page, actor, cursor, limit, archived))


@router.post("/squads", response_model=Squad, status_code=201)
async def squads_create(writer: Writes, new: SquadNew) -> Response:
    """Make a squad, from nothing or from a template. Its maker owns it and is its first member."""
    return await writer.write(squads.create, new, show=_shown(writer), status=201)


@router.patch("/squads/{squad}", response_model=Squad)
async def squads_update(writer: Writes, squad: InSquad, edit: SquadEdit) -> Response:
    """Change a squad's name, lease or tries. The owner only."""
    return await writer.write(squads.update, squad, edit, show=_shown(writer))


@router.post("/squads/{squad}/pause", response_model=Squad)
async def squads_pause(writer: Writes, squad: InSquad, given: PauseNew | None = None) -> Response:
    """Let nobody in the squad claim anything; with `now` live attempts end, which uses no try. The owner only."""
    return await writer.write(squads.pause, squad, given or PauseNew(), show=_shown(writer))


@router.post("/squads/{squad}/resume", response_model=Squad)
async def squads_resume(writer: Writes, squad: InSquad) -> Response:
    """Let a paused squad go on. The owner only."""
    return await writer.write(squads.resume, squad, show=_shown(writer))


@router.post("/squads/{squad}/archive", response_model=Squad)
async def squads_archive(writer: Writes, squad: InSquad) -> Response:
    """End a squad's work: live attempts end, and it can only be read from now on. The owner only."""
    return await writer.write(squads.archive, squad, show=_shown(writer))


@router.post("/squads/{squad}/unarchive", response_model=Squad)
async def squads_unarchive(writer: Writes, squad: InSquad) -> Response:
    """Open an archived squad again. The owner only."""
    return await writer.write(squads.unarchive, squad, show=_shown(writer))


def _shown(writer: Writer) -> Callable[[UUID], AnySelect]:
    """What was changed is shown as it is now."""
    return lambda squad_id: squads.get(writer.actor, SquadRef(squad_id, None))
