"""The board over HTTP."""

from typing import Annotated, Any

from fastapi import Query, Request, Response

from agentsquad.schemas import limits
from agentsquad.schemas import tasks as schemas
from agentsquad.schemas.fields import Part
from agentsquad.schemas.tasks import TaskChanged
from agentsquad.schemas.users import KeySecret
from backend.interfaces.http import answers
from backend.interfaces.http.dependencies import Db, InSquad, Live, Number, Who, Writes, still_known
from backend.interfaces.http.errors import Router
from backend.live import waiting
from backend.operations import tasks
from backend.operations.tasks import Wanted

router = Router(prefix="/squads/{squad}/tasks", tags=["tasks"])


@router.get("", response_model=schemas.Tasks)
async def tasks_page(
    database: Db,
    actor: Who,
    squad: InSquad,
    status: Annotated[schemas.Status | None, Query()] = None,
    role: Annotated[Part | None, Query()] = None,
    assignee: Annotated[Part | None, Query(description="A member's name.")] = None,
    holder: Annotated[Part | None, Query(description="A member's name.")] = None,
    parent: Annotated[int | None, Query(ge=1, le=limits.NUMBER_MAX)] = None,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE,
    cursor: Annotated[int, Query(ge=0, le=limits.NUMBER_MAX)] = 0,
) -> Response:
    """Tasks by number; all of those that are asked for have to be true."""
    given: dict[str, Any] = {"status": status, "role": role, "assignee": assignee, "holder": holder, "parent": parent}
    chosen = {field: value for field, value in given.items() if value is not None}
    wanted = Wanted(**chosen)
    body = await database.reads.json(tasks.page(*chosen), actor, squad, wanted, cursor, limit)
    return answers.found(body, answers.NO_SQUAD)


@router.post("", response_model=schemas.TasksMade, status_code=201)
async def tasks_create(writer: Writes, squad: InSquad, new: schemas.TasksNew) -> Response:
    """Make a batch of tasks with their dependencies: all of it, or nothing."""
    return await writer.write(tasks.create, squad, new.tasks, new.claim, status=201)


@router.post("/claim", response_model=schemas.Claims)
async def tasks_claim_next(
    request: Request,
    writer: Writes,
    feed: Live,
    squad: InSquad,
    given: schemas.ClaimNew | None = None,
    wait: Annotated[float, Query(ge=0, le=limits.WAIT, description="Seconds to wait for something to do.")] = 0,
) -> Response:
    """Claim the next tasks: assigned to the member, else of its role, else of no role; empty when there is none."""
    how = given or schemas.ClaimNew()

    async def attempt() -> Any:
        return await writer.result(tasks.claim, squad, None, how.limit, how.paths, how.lease_seconds)

    async def there() -> bool:
        return not await request.is_disconnected() and await still_known(request, writer.actor, squad)

    claimed = await waiting.claim(feed, writer.actor, squad, attempt, there, wait)
    if claimed is None and wait and writer.key is not None and await there():
        claimed = await attempt()  # the same request, sent twice at once, may have got something
    return answers.json(claimed or '{"items":[],"unread":0}')


@router.post("/heartbeat", response_model=schemas.Heartbeats)
async def tasks_heartbeat_all(writer: Writes, squad: InSquad, given: schemas.HeartbeatsNew) -> Response:
    """Extend the leases of several claims; one that is lost doesn't spoil the others."""
    return await writer.write(tasks.heartbeat_all, squad, given)


@router.get("/{number:digits}", response_model=schemas.Task)
async def tasks_get(database: Db, actor: Who, squad: InSquad, number: Number) -> Response:
    """One task, whole."""
    return answers.found(await database.reads.value(tasks.get, actor, squad, number), answers.NO_TASK)


@router.patch("/{number:digits}", response_model=TaskChanged)
async def tasks_update(writer: Writes, squad: InSquad, number: Number, edit: schemas.TaskEdit) -> Response:
    """Change what a task says, or for whom it is. Its creator, or the owner."""
    return await writer.write(tasks.update, squad, number, edit)


@router.get("/{number:digits}/why", response_model=schemas.Why)
async def tasks_why(database: Db, actor: Who, squad: InSquad, number: Number) -> Response:
    """What a task waits for: in one sentence, and as data."""
    return answers.found(await database.reads.value(tasks.why, actor, squad, number), answers.NO_TASK)


@router.get("/{number:digits}/attempts", response_model=schemas.Attempts)
async def tasks_attempts(database: Db, actor: Who, squad: InSquad, number: Number) -> Response:
    """All attempts at a task, and how each ended."""
    return answers.found(await database.reads.json(tasks.attempts, actor, squad, number), answers.NO_TASK)


@router.post("/{number:digits}/claim", response_model=schemas.Claims)
async def tasks_claim(
    writer: Writes, squad: InSquad, number: Number, given: schemas.ClaimTaskNew | None = None
) -> Response:
    """Claim this task, or its review."""
    how = given or schemas.ClaimTaskNew()
    return await writer.write(tasks.claim, squad, number, 1, how.paths, how.lease_seconds)


@router.post("/{number:digits}/heartbeat", response_model=schemas.Heartbeat)
async def tasks_heartbeat(writer: Writes, squad: InSquad, number: Number, given: schemas.HeartbeatNew) -> Response:
    """Extend the lease of a live claim."""
    return await writer.write(tasks.heartbeat, squad, number, given)


@router.post("/{number:digits}/token", status_code=201)
async def tasks_create_token(
    writer: Writes, squad: InSquad, number: Number, given: schemas.TokenOfAttemptNew
) -> KeySecret:
    """Make a token that acts as the holder until the attempt ends. Its text is in this answer and never again."""
    made = await writer.result(tasks.create_token, squad, number, given)
    return KeySecret(id=made.id, secret=made.secret)


@router.post("/{number:digits}/complete", response_model=TaskChanged)
async def tasks_complete(writer: Writes, squad: InSquad, number: Number, given: schemas.CompleteNew) -> Response:
    """Hand in the result of a live claim; what waited for it last is free in the same transaction."""
    return await writer.write(tasks.complete, squad, number, given)


@router.post("/{number:digits}/fail", response_model=TaskChanged)
async def tasks_fail(writer: Writes, squad: InSquad, number: Number, given: schemas.FailNew) -> Response:
    """End a live claim without a result; with `retry` the task is free again while a try is left."""
    return await writer.write(tasks.fail, squad, number, given)


@router.post("/{number:digits}/release", response_model=TaskChanged)
async def tasks_release(writer: Writes, squad: InSquad, number: Number, given: schemas.ReleaseNew) -> Response:
    """Give a live claim back, which uses no try."""
    return await writer.write(tasks.release, squad, number, given)


@router.post("/{number:digits}/handoff", response_model=TaskChanged)
async def tasks_handoff(writer: Writes, squad: InSquad, number: Number, given: schemas.HandoffNew) -> Response:
    """Give a held task to a member or a role, with a note in its thread."""
    return await writer.write(tasks.handoff, squad, number, given)


@router.post("/{number:digits}/wait", response_model=TaskChanged)
async def tasks_wait_for_children(writer: Writes, squad: InSquad, number: Number, given: schemas.WaitNew) -> Response:
    """Let a held task wait until its children have ended, however they end."""
    return await writer.write(tasks.wait_for_children, squad, number, given)


@router.post("/{number:digits}/accept", response_model=TaskChanged)
async def tasks_accept(writer: Writes, squad: InSquad, number: Number, given: schemas.AcceptNew) -> Response:
    """Accept the result under review: the task is done."""
    return await writer.write(tasks.accept, squad, number, given)


@router.post("/{number:digits}/reject", response_model=TaskChanged)
async def tasks_reject(writer: Writes, squad: InSquad, number: Number, given: schemas.RejectNew) -> Response:
    """Reject the result under review: the task is free for the member that did it, with a note in its thread."""
    return await writer.write(tasks.reject, squad, number, given)


@router.post("/{number:digits}/ask", response_model=schemas.Asked, status_code=201)
async def tasks_ask(writer: Writes, squad: InSquad, number: Number, given: schemas.AskNew) -> Response:
    """Ask a person, and let the held task wait for the answer."""
    return await writer.write(tasks.ask, squad, number, given, status=201)


@router.post("/{number:digits}/answer", response_model=TaskChanged)
async def tasks_answer(writer: Writes, squad: InSquad, number: Number, given: schemas.AnswerNew) -> Response:
    """Answer a question that is assigned to oneself; its asker goes on."""
    return await writer.write(tasks.answer, squad, number, given)


@router.post("/{number:digits}/cancel", response_model=TaskChanged)
async def tasks_cancel(
    writer: Writes, squad: InSquad, number: Number, given: schemas.CancelNew | None = None
) -> Response:
    """Cancel an unfinished task; with `cascade` all that depends on it and its children. Its creator, or the owner."""
    return await writer.write(tasks.cancel, squad, number, given or schemas.CancelNew())


@router.post("/{number:digits}/retry", response_model=TaskChanged)
async def tasks_retry(writer: Writes, squad: InSquad, number: Number) -> Response:
    """Open a failed or cancelled task again, with all its tries. Its creator, or the owner."""
    return await writer.write(tasks.retry, squad, number)


@router.post("/{number:digits}/block", response_model=TaskChanged)
async def tasks_block(writer: Writes, squad: InSquad, number: Number, given: schemas.BlockNew) -> Response:
    """Block a task until it is resumed; a live attempt ends, which uses no try. The owner only."""
    return await writer.write(tasks.block, squad, number, given)


@router.post("/{number:digits}/resume", response_model=TaskChanged)
async def tasks_resume(writer: Writes, squad: InSquad, number: Number) -> Response:
    """Let a task go on that was blocked by a budget or as stalled. The owner only."""
    return await writer.write(tasks.resume, squad, number)


@router.put("/{number:digits}/dependencies/{other:digits}", response_model=TaskChanged)
async def tasks_add_dependency(writer: Writes, squad: InSquad, number: Number, other: Number) -> Response:
    """Let a task wait for another one. Its creator, or the owner."""
    return await writer.write(tasks.add_dependency, squad, number, other)


@router.delete("/{number:digits}/dependencies/{other:digits}", response_model=TaskChanged)
async def tasks_remove_dependency(writer: Writes, squad: InSquad, number: Number, other: Number) -> Response:
    """Let a task no longer wait for another one. Its creator, or the owner."""
    return await writer.write(tasks.remove_dependency, squad, number, other)
