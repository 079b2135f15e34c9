"""The board over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from starlette.convertors import Convertor, register_url_convertor

from agentsquad.schemas import limits
from agentsquad.schemas.tasks import (
    Claim,
    Claims,
    CompleteNew,
    FailNew,
    Heartbeat,
    HeartbeatNew,
    Status,
    Task,
    Tasks,
    TasksNew,
)
from backend.interfaces.http import answers
from backend.interfaces.http.dependencies import Db, InSquad, Who
from backend.operations import tasks


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
router = APIRouter(prefix="/squads/{squad}/tasks", tags=["tasks"])
Number = Annotated[int, Path(ge=1, le=limits.NUMBER_MAX)]


@router.get("", response_model=Tasks)
async def tasks_page(
    database: Db,
    actor: Who,
    squad: InSquad,
    status: Annotated[Status | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE,
    cursor: Annotated[int, Query(ge=0, le=limits.NUMBER_MAX)] = 0,
) -> Response:
    """Tasks by number."""
    body = await database.reads.json(tasks.page, actor, squad, status, cursor, limit)
    return answers.found(body, answers.NO_SQUAD)


@router.post("", response_model=Tasks, status_code=201)
async def tasks_create(database: Db, actor: Who, squad: InSquad, new: TasksNew) -> Response:
    """Make a batch of tasks with their dependencies: all of it, or nothing."""
    items = await database.transact(tasks.create, actor, squad, new.tasks)
    return answers.json(f'{{"items":{items},"next":null}}', 201)


@router.post("/claim", response_model=Claims)
async def tasks_claim_next(database: Db, actor: Who, squad: InSquad) -> Response:
    """Claim the next task: assigned to the member, else of its role, else of no role; empty when there is none."""
    claimed = await database.transact(tasks.claim, actor, squad)
    return answers.json(f'{{"items":[{claimed or ""}]}}')


@router.get("/{number:digits}", response_model=Task)
async def tasks_get(database: Db, actor: Who, squad: InSquad, number: Number) -> Response:
    """One task, whole."""
    return answers.found(await database.reads.value(tasks.get, actor, squad, number), answers.NO_TASK)


@router.post("/{number:digits}/claim", response_model=Claim)
async def tasks_claim(database: Db, actor: Who, squad: InSquad, number: Number) -> Response:
    """Claim this task."""
    return answers.json(await database.transact(tasks.claim, actor, squad, number) or "")


@router.post("/{number:digits}/heartbeat", response_model=Heartbeat)
async def tasks_heartbeat(database: Db, actor: Who, squad: InSquad, number: Number, given: HeartbeatNew) -> Response:
    """Extend the lease of a live claim."""
    return answers.json(await database.transact(tasks.heartbeat, actor, squad, number, given))


@router.post("/{number:digits}/complete", response_model=Task)
async def tasks_complete(database: Db, actor: Who, squad: InSquad, number: Number, given: CompleteNew) -> Response:
    """Hand in the result of a live claim; what waited for it last is free in the same transaction."""
    return answers.json(await database.transact(tasks.complete, actor, squad, number, given))


@router.post("/{number:digits}/fail", response_model=Task)
async def tasks_fail(database: Db, actor: Who, squad: InSquad, number: Number, given: FailNew) -> Response:
    """End a live claim without a result; with `retry` the task is free again while a try is left."""
    return answers.json(await database.transact(tasks.fail, actor, squad, number, given))
