"""What a task's creator, the squad's owner and the person who is asked do with it."""

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.tasks import AnswerNew, BlockNew, CancelNew, TaskEdit
from backend.core.errors import WrongStatus
from backend.core.jsons import dumps
from backend.models import Task
from backend.operations import access, members
from backend.operations.access import Actor, SquadRef
from backend.operations.functions import call, on_board


async def update(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, edit: TaskEdit) -> str:
    """Change what a task says, or for whom it is. Answers the task as JSON.

    Raises:
        NotFound: no such squad or task.
        Forbidden: the actor is neither its creator nor the owner.
        WrongStatus: it is done, or in review and would lose its review.
        Invalid: no such assignee.
    """
    entered = await access.enter(session, actor, squad)
    own = text("SELECT * FROM own_task(:squad, :member, :is_owner, :number)").bindparams(
        squad=entered.squad_id, member=entered.member_id, is_owner=entered.is_owner, number=number
    )
    task = (await session.scalars(select(Task).from_statement(own))).one()
    given = edit.model_dump(exclude_unset=True)
    drops_review = task.status == "in_review" and given.get("review", "") is None
    if task.status == "done" or drops_review:
        wanted = "accept or reject it" if drops_review else "it can't be changed any more"
        sentence = f"#{number} is {task.status.replace('_', ' ')}; {wanted}."
        raise WrongStatus(sentence, task=number, status=task.status)
    changes = dict(given)
    if "assignee" in given:
        name = changes.pop("assignee")
        changes["assignee_id"] = name and (await members.of_name(session, entered, name, "body.assignee")).id
    for column, value in changes.items():
        setattr(task, column, value)
    await session.flush()
    updated: str = await call(
        session,
        "tell_update(:squad, CAST(:actor AS jsonb), :member, :number, :fields)",
        squad=entered.squad_id,
        actor=dumps(entered.actor),
        member=entered.member_id,
        number=number,
        fields=sorted(given),
    )
    return updated


async def add_dependency(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, other: int) -> str:
    """Let a task wait for another one. Answers the task as JSON.

    Raises:
        NotFound: no such squad or task.
        Forbidden: the actor is neither its creator nor the owner.
        WrongStatus: somebody works on it, or its work is over.
        Conflict: the other one waits for it.
        Invalid: it has as many dependencies as a task may have.
    """
    return await _on(session, "depend_task", actor, squad, number, ":other", other=other)


async def remove_dependency(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, other: int) -> str:
    """Let a task no longer wait for another one. Answers the task as JSON.

    Raises:
        NotFound: no such squad, task or dependency.
        Forbidden: the actor is neither its creator nor the owner.
        WrongStatus: somebody works on it, or its work is over.
    """
    return await _on(session, "undepend_task", actor, squad, number, ":other", other=other)


async def cancel(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: CancelNew) -> str:
    """Cancel an unfinished task, on request with all that depends on it and its children. Answers it as JSON.

    Raises:
        NotFound: no such squad or task.
        Forbidden: the actor is neither the creator of all of them nor the owner.
        WrongStatus: it has ended already.
    """
    values = {"reason": given.reason, "cascade": given.cascade}
    return await _on(session, "cancel_tasks", actor, squad, number, ":reason, :cascade", **values)


async def retry(session: AsyncSession, actor: Actor, squad: SquadRef, number: int) -> str:
    """Open a failed or cancelled task again, with all its tries. Answers it as JSON.

    Raises:
        NotFound: no such squad or task.
        Forbidden: the actor is neither its creator nor the owner.
        WrongStatus: it is neither failed nor cancelled.
        Conflict: it depends on what waits for it as a child.
    """
    return await _on(session, "retry_task", actor, squad, number)


async def block(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: BlockNew) -> str:
    """Block a free or held task until the owner resumes it. Answers it as JSON.

    Raises:
        NotFound: no such squad or task.
        Forbidden: the actor is not the owner.
        WrongStatus: it is neither in todo nor in progress.
    """
    by = dumps({"reason": given.reason})
    return await _on(session, "block_task", actor, squad, number, ":on, CAST(:by AS jsonb)", on=given.on, by=by)


async def resume(session: AsyncSession, actor: Actor, squad: SquadRef, number: int) -> str:
    """Let a task go on that was blocked by a budget or as stalled. Answers it as JSON.

    Raises:
        NotFound: no such squad or task.
        Forbidden: the actor is not the owner.
        WrongStatus: it isn't blocked by either.
    """
    return await _on(session, "resume_task", actor, squad, number)


async def answer(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: AnswerNew) -> str:
    """Answer a question that is assigned to oneself; its asker goes on. Answers the question as JSON.

    Raises:
        NotFound: no such squad or task.
        Forbidden: it is no question to this person.
        WrongStatus: it is not in todo.
    """
    said = dumps(given.answer)
    return await _on(session, "answer_task", actor, squad, number, "CAST(:answer AS jsonb)", answer=said)


async def _on(
    session: AsyncSession,
    function: str,
    actor: Actor,
    squad: SquadRef,
    number: int,
    more: str = "",
    **values: object,
) -> str:
    arguments = f":number, {more}" if more else ":number"
    task: str = await on_board(session, function, actor, squad, arguments, number=number, **values)
    return task
