"""A task: what it says, its attempts and its thread in the order of time, and what one may do with it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentsquad.schemas import limits
from agentsquad.schemas.budgets import TaskUsage
from agentsquad.schemas.messages import Message, MessageNew, Messages
from agentsquad.schemas.steps import Steps
from agentsquad.schemas.tasks import AnswerNew, Attempt, Attempts, CancelNew, Relatives, Task
from backend.interfaces.dashboard import forms, visits
from backend.interfaces.dashboard.visits import Setting, Visitor
from backend.operations import budgets, messages, steps, tasks

RELATIVES: Final = 100  # tasks of each relation that are shown
THREAD: Final = 5  # pages of a thread that are shown
LONG: Final = 10_000  # characters of a part of a step that are shown
ENDED: Final = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class May:
    """What the visitor may do with a task; the server decides when it is done."""

    cancel: bool
    retry: bool
    resume: bool
    answer: bool

    @classmethod
    def of(cls, task: Task, setting: Setting) -> "May":
        """By who the visitor is, and where the task stands."""
        me, writes = setting.me, setting.squad.archived_at is None
        leads = writes and (me.is_owner or task.created_by == me.name)
        return cls(
            cancel=leads and task.status not in ENDED,
            retry=leads and task.status in ("failed", "cancelled"),
            resume=writes and me.is_owner and task.blocked_on in ("budget", "stalled"),
            answer=writes and task.status == "todo" and task.assignee == me.name and me.kind == "person",
        )


def timeline(attempts: list[Attempt], thread: list[Message]) -> list[Attempt | Message]:
    """Attempts and messages in the order of time."""
    begins: Callable[[Attempt | Message], object] = lambda entry: (  # noqa: E731  (its type)
        entry.started_at if isinstance(entry, Attempt) else entry.at
    )
    return sorted([*attempts, *thread], key=begins)  # type: ignore[arg-type]  # times


async def one(request: Request) -> Response:
    """A task."""
    visitor = await visits.visitor(request)
    number = visitor.number()
    setting = await visits.setting(visitor)
    before = min(visits.position(request, "before") or limits.NUMBER_MAX, limits.NUMBER_MAX)
    # Before the rest: a step that ends meanwhile is news, and not yet on the page.
    ended = await visitor.database.reads.row(steps.ended, visitor.actor, visitor.squad, number)
    task, attempts, relatives, journal, usage, (thread, more) = await asyncio.gather(
        visitor.value(tasks.get, number),
        visitor.read(tasks.attempts, number, missing=visits.NO_TASK),
        visitor.read(tasks.relatives, number, RELATIVES, missing=visits.NO_TASK),
        visitor.read(steps.latest, number, before, limits.PAGE, missing=visits.NO_TASK),
        visitor.read(budgets.task, number, missing=visits.NO_TASK),
        _thread(visitor, number),
    )
    whole = Task.model_validate_json(task)
    return await visits.page(
        visitor,
        setting,
        "task.html",
        task=whole,
        may=May.of(whole, setting),
        timeline=timeline(Attempts.model_validate_json(attempts).items, thread),
        more=more,
        ended=ended["step"] if ended else 0,
        relatives=Relatives.model_validate_json(relatives).items,
        steps=Steps.model_validate_json(journal),
        newest=before == limits.NUMBER_MAX,
        spent=TaskUsage.model_validate_json(usage).task,
        long=LONG,
    )


async def _thread(visitor: Visitor, number: int) -> tuple[list[Message], bool]:
    """The thread's messages, and whether there are more than are shown."""
    found: list[Message] = []
    after: str | None = "0"
    for _ in range(THREAD):
        values = (int(after or 0), limits.PAGE_MAX, number)
        body = await visitor.read(messages.page("task"), *values, missing=visits.NO_TASK)
        page = Messages.model_validate_json(body)
        found += page.items
        after = page.next
        if after is None:
            break
    return found, after is not None


async def send(request: Request) -> Response:
    """Write into the thread."""
    visitor = await visits.visitor(request)
    given = await forms.fields(request)
    new = forms.schema(MessageNew, task=visitor.number(), body=given.get("body", ""))
    return await visitor.write(messages.send, new, to=_address(visitor))


async def cancel(request: Request) -> Response:
    """Cancel it."""
    visitor = await visits.visitor(request)
    given = await forms.fields(request)
    how = forms.schema(CancelNew, reason=given.get("reason", ""), cascade="cascade" in given)
    return await visitor.write(tasks.cancel, visitor.number(), how, to=_address(visitor))


async def retry(request: Request) -> Response:
    """Open it again."""
    visitor = await visits.visitor(request)
    return await visitor.write(tasks.retry, visitor.number(), to=_address(visitor))


async def resume(request: Request) -> Response:
    """Let it go on."""
    visitor = await visits.visitor(request)
    return await visitor.write(tasks.resume, visitor.number(), to=_address(visitor))


async def answer(request: Request) -> Response:
    """Answer a question, on its page or in the inbox."""
    visitor = await visits.visitor(request)
    given = await forms.fields(request)
    said = forms.schema(AnswerNew, answer=given.get("answer", ""))
    to = "/inbox" if given.get("from") == "inbox" else _address(visitor)
    return await visitor.write(tasks.answer, visitor.number(), said, to=to)


def _address(visitor: Visitor) -> str:
    return f"/tasks/{visitor.number()}"


TASK: Final = "/ui/{squad}/tasks/{number}"
routes = [
    Route(TASK, one),
    *(Route(f"{TASK}/{action.__name__}", action, methods=["POST"]) for action in (send, cancel, retry, resume, answer)),
]
