"""The squad's own tools: what a hosted member may do on the board. The claim is the harness's, the model never sees it.

Each runs in the transaction that journals it, with the rights of the member and no others.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from pydantic_ai.tools import ToolDefinition
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.fields import Incoming, parts_of
from agentsquad.schemas.messages import MessageNew
from agentsquad.schemas.tasks import (
    AcceptNew,
    AskNew,
    CompleteNew,
    FailNew,
    HandoffNew,
    RejectNew,
    TaskNew,
    WaitNew,
)
from backend.core.errors import Invalid, NotFound
from backend.core.jsons import cut, dumps
from backend.operations import documents, messages, tasks
from backend.operations.access import Actor, SquadRef
from backend.operations.tasks import Wanted
from backend.runner import prompts
from backend.runner.shapes import Handoff, Nothing, One, Parts, Post, Reason, Result, Some, ToAsk, Verdict

RESULT: Final = 16_000  # characters of what a tool answers
THREAD: Final = 10  # messages of a thread that come with a task


@dataclass(frozen=True, slots=True)
class Holder:
    """Who calls: the member, and the attempt for which it does.

    Args:
        actor: the member.
        squad: its squad.
        claim: the handle of the attempt.
    """

    actor: Actor
    squad: SquadRef
    claim: str

    @property
    def number(self) -> int:
        """The task."""
        return parts_of(self.claim)[0]

    @property
    def attempt(self) -> int:
        """The attempt at it."""
        return parts_of(self.claim)[1]


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool.

    Args:
        given: what it takes.
        run: does it, in a transaction.
        kinds: of which kinds of attempt it is a tool.
        ends: whether the attempt is over after it.
    """

    given: type[Incoming]
    run: Callable[[AsyncSession, Holder, Any], Awaitable[Any]]
    kinds: tuple[str, ...] = ("work", "review")
    ends: bool = False

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.run.__name__

    async def call(self, session: AsyncSession, holder: Holder, given: Incoming) -> str:
        """What it answers, as the model reads it."""
        answer = await self.run(session, holder, given)
        return str(cut(answer if isinstance(answer, str) else dumps(answer), RESULT))

    @property
    def definition(self) -> ToolDefinition:
        """How the model sees it."""
        description = " ".join((self.run.__doc__ or "").split())
        return ToolDefinition(name=self.name, parameters_json_schema=_schema(self.given), description=description)


async def create_tasks(session: AsyncSession, holder: Holder, given: Parts) -> Any:
    """Make tasks that are parts of yours, all or none.

    Each goes to its role or assignee, starts when all that it depends on is done, and gets their results. Then call
    wait_for_children.
    """
    new = [TaskNew(**part.model_dump(), parent=holder.number) for part in given.tasks]
    made = json.loads(await tasks.create(session, holder.actor, holder.squad, new, holder.claim))
    return [{name: each[name] for name in ("number", "title", "role", "status")} for each in made["items"]]


async def wait_for_children(session: AsyncSession, holder: Holder, given: Nothing) -> Any:  # noqa: ARG001
    """Let your task wait until its parts have ended, however they end. You then get their results."""
    return _state(
        await tasks.wait_for_children(session, holder.actor, holder.squad, holder.number, WaitNew(claim=holder.claim))
    )


async def ask_human(session: AsyncSession, holder: Holder, given: ToAsk) -> Any:
    """Ask a person what only a person can decide. Your task waits; you get the answer as the result of a part of it."""
    new = AskNew(claim=holder.claim, **given.model_dump())
    asked = json.loads(await tasks.ask(session, holder.actor, holder.squad, holder.number, new))
    return {"question": asked["question"]["number"], "asked": asked["question"]["assignee"]}


async def handoff_task(session: AsyncSession, holder: Holder, given: Handoff) -> Any:
    """Give your task to a member or a role; the note says what you did and what is left."""
    new = HandoffNew(claim=holder.claim, **given.model_dump())
    return _state(await tasks.handoff(session, holder.actor, holder.squad, holder.number, new))


async def complete_task(session: AsyncSession, holder: Holder, given: Result) -> Any:
    """Hand in the result of your task, as text or JSON. To answer with plain text does the same."""
    new = CompleteNew(claim=holder.claim, result=given.result)
    return _state(await tasks.complete(session, holder.actor, holder.squad, holder.number, new))


async def fail_task(session: AsyncSession, holder: Holder, given: Reason) -> Any:
    """Say that your task can't be done, and why."""
    new = FailNew(claim=holder.claim, reason=given.reason)
    return _state(await tasks.fail(session, holder.actor, holder.squad, holder.number, new))


async def review_task(session: AsyncSession, holder: Holder, given: Verdict) -> Any:
    """End your review: accept the result, or reject it with a note that says what has to change."""
    where = (session, holder.actor, holder.squad, holder.number)
    if given.accept:
        return _state(await tasks.accept(*where, AcceptNew(claim=holder.claim, note=given.note)))
    if not given.note:
        raise Invalid("A rejection needs a note that says what has to change.")
    return _state(await tasks.reject(*where, RejectNew(claim=holder.claim, note=given.note)))


async def send_message(session: AsyncSession, holder: Holder, given: Post) -> Any:
    """Write to a member (to), into a task's thread (task), or to all."""
    everybody = given.to is None and given.task is None
    new = MessageNew(**given.model_dump(exclude_none=True), all=everybody, claim=holder.claim)
    position, _ = await messages.send(session, holder.actor, holder.squad, new)
    return {"message": position}


async def get_task(session: AsyncSession, holder: Holder, given: One) -> Any:
    """One task with its description, input, result, why it is where it is, and the end of its thread."""
    found = (await session.execute(tasks.get(holder.actor, holder.squad, given.number))).scalar()
    if found is None:
        raise NotFound(f"There is no task #{given.number}.")
    task = found if isinstance(found, dict) else json.loads(found)
    query = messages.thread_end(holder.actor, holder.squad, given.number, THREAD)
    thread = json.loads(await documents.document(session, query))["items"]
    kept = ("number", "title", "description", "input", "status", "why", "role", "assignee", "holder", "depends_on",
            "parent", "result", "created_by")  # fmt: skip
    shown = {name: cut(task[name], prompts.LONG) for name in kept}
    return shown | {"thread": [prompts.note(each) for each in thread]}


async def list_tasks(session: AsyncSession, holder: Holder, given: Some) -> Any:
    """Tasks of the squad by number, at most twenty: title, status, who holds each, and what it waits for."""
    chosen = given.model_dump(exclude={"after"}, exclude_none=True)
    query = tasks.page(*chosen)(holder.actor, holder.squad, Wanted(**chosen), given.after, 20)
    page = json.loads(await documents.document(session, query))
    kept = ("number", "title", "status", "role", "assignee", "holder", "depends_on", "parent", "why")
    return [{name: each[name] for name in kept} for each in page["items"]]


WORK: Final = ("work",)
TOOLS: Final = {
    tool.name: tool
    for tool in (
        Tool(Parts, create_tasks, WORK),
        Tool(Nothing, wait_for_children, WORK, ends=True),
        Tool(ToAsk, ask_human, WORK, ends=True),
        Tool(Handoff, handoff_task, WORK, ends=True),
        Tool(Result, complete_task, WORK, ends=True),
        Tool(Reason, fail_task, WORK, ends=True),
        Tool(Verdict, review_task, ("review",), ends=True),
        Tool(Post, send_message),
        Tool(One, get_task),
        Tool(Some, list_tasks),
    )
}


def _state(changed: str) -> dict[str, Any]:
    task = json.loads(changed)
    return {"number": task["number"], "status": task["status"], "why": task["why"]}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    return {name: value for name, value in schema.items() if name not in ("title", "description")}
