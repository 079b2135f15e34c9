"""The board: tasks, and what is done with them."""

import contextlib
import math
from collections.abc import Sequence
from typing import Any

from agentsquad.client.errors import AlreadyExists, checked
from agentsquad.client.wire import M, Wire
from agentsquad.schemas import limits
from agentsquad.schemas.tasks import (
    AcceptNew,
    AnswerNew,
    Asked,
    AskNew,
    Attempt,
    Attempts,
    Beat,
    BlockNew,
    CancelNew,
    Claim,
    ClaimNew,
    Claims,
    ClaimTaskNew,
    CompleteNew,
    FailNew,
    HandoffNew,
    Heartbeat,
    HeartbeatNew,
    Heartbeats,
    HeartbeatsNew,
    RejectNew,
    ReleaseNew,
    Status,
    Task,
    TaskChanged,
    TaskEdit,
    TaskNew,
    Tasks,
    TasksMade,
    TasksNew,
    TokenOfAttemptNew,
    WaitNew,
    Why,
)
from agentsquad.schemas.users import KeySecret


class TaskCalls(Wire):
    """What is asked of the board. Whatever a holder does names its claim by its handle, as in `"12/3"`."""

    async def create_tasks(self, new: Sequence[TaskNew], *, claim: str | None = None) -> list[Task]:
        """Make a batch of tasks with their dependencies: all of it, or nothing. A claim that is given has to be live.

        Args:
            new: the tasks; within the batch they name each other by their `key`.
            claim: on whose behalf.
        """
        body = checked(TasksNew, tasks=list(new), claim=claim)
        return (await self._ask(TasksMade, "POST", await self._path("tasks"), body)).items

    async def tasks(
        self,
        *,
        status: Status | None = None,
        role: str | None = None,
        assignee: str | None = None,
        holder: str | None = None,
        parent: int | None = None,
        limit: float = math.inf,
    ) -> list[Task]:
        """Tasks by number; all of those that are asked for have to be true."""
        wanted = {"status": status, "role": role, "assignee": assignee, "holder": holder, "parent": parent}
        return [task async for task in self._items(Tasks, await self._path("tasks"), wanted, limit)]

    async def task(self, number: int) -> Task:
        """One task, whole."""
        return await self._ask(Task, "GET", await self._path("tasks", number))

    async def why(self, number: int) -> Why:
        """What a task waits for: in one sentence, and as data."""
        return await self._ask(Why, "GET", await self._path("tasks", number, "why"))

    async def attempts(self, number: int) -> list[Attempt]:
        """All attempts at a task, and how each ended."""
        return (await self._ask(Attempts, "GET", await self._path("tasks", number, "attempts"))).items

    async def claim(
        self,
        number: int | None = None,
        *,
        wait: float = 0,
        paths: str | Sequence[str] = (),
        lease_seconds: int | None = None,
    ) -> Claim | None:
        """Claim a task, or its review: by number, or the next one that fits; None: there is nothing to do.

        Args:
            number: which one.
            wait: seconds to wait for something to do.
            paths: globs from the root of the checkout, such as `src/**/*.py`, or one: reserved until the attempt ends.
            lease_seconds: the attempt's own lease, instead of the squad's.

        Raises:
            Reserved: there is something to do, but a live attempt reserves a path that overlaps with one of these.
        """
        how = _given(paths=[paths] if isinstance(paths, str) else list(paths), lease_seconds=lease_seconds)
        if number is None:
            return next(iter(await self._next_ones(checked(ClaimNew, **how), wait)), None)
        body = checked(ClaimTaskNew, **how) if how else None
        return (await self._ask(Claims, "POST", await self._path("tasks", number, "claim"), body)).items[0]

    async def claim_several(self, limit: int, *, wait: float = 0, lease_seconds: int | None = None) -> list[Claim]:
        """Claim the next tasks that fit, as many as there are."""
        return await self._next_ones(checked(ClaimNew, limit=limit, **_given(lease_seconds=lease_seconds)), wait)

    async def _next_ones(self, body: ClaimNew, wait: float) -> list[Claim]:
        path = await self._path("tasks", "claim")
        while True:
            turn = min(wait, float(limits.WAIT))
            found = (await self._ask(Claims, "POST", path, body, query={"wait": turn or None}, wait=turn)).items
            wait -= turn
            if found or wait <= 0:
                return found

    async def heartbeat(self, claim: str) -> Heartbeat:
        """Extend the lease of a live claim.

        Raises:
            LostClaim: it is live no more.
        """
        return await self._hold(Heartbeat, claim, "heartbeat", checked(HeartbeatNew, claim=claim))

    async def heartbeat_all(self, claims: Sequence[str]) -> list[Beat]:
        """Extend the leases of several claims; one that is lost doesn't spoil the others."""
        body = checked(HeartbeatsNew, claims=list(claims))
        return (await self._ask(Heartbeats, "POST", await self._path("tasks", "heartbeat"), body)).items

    async def complete(self, claim: str, result: Any = None, *, patience: float | None = None) -> TaskChanged:
        """Hand in the result of a live claim.

        Args:
            claim: its handle.
            result: any JSON.
            patience: seconds to try while the server is away, if other than the client's.

        Raises:
            LostClaim: it is live no more; the result was not taken.
        """
        body = checked(CompleteNew, claim=claim, result=result)
        return await self._hold(TaskChanged, claim, "complete", body, patience)

    async def fail(self, claim: str, reason: str, *, retry: bool = False, patience: float | None = None) -> TaskChanged:
        """End a live claim without a result; with `retry` the task is free again while a try is left."""
        body = checked(FailNew, claim=claim, reason=reason, retry=retry)
        return await self._hold(TaskChanged, claim, "fail", body, patience)

    async def release(self, claim: str, reason: str = "", *, patience: float | None = None) -> TaskChanged:
        """Give a live claim back, which uses no try."""
        body = checked(ReleaseNew, claim=claim, reason=reason)
        return await self._hold(TaskChanged, claim, "release", body, patience)

    async def handoff(self, claim: str, note: str, *, to: str | None = None, role: str | None = None) -> TaskChanged:
        """Give a held task to a member or a role, with a note in its thread."""
        return await self._hold(
            TaskChanged, claim, "handoff", checked(HandoffNew, claim=claim, note=note, to=to, role=role)
        )

    async def wait_for_children(self, claim: str) -> TaskChanged:
        """Let a held task wait until its children have ended, however they end."""
        return await self._hold(TaskChanged, claim, "wait", checked(WaitNew, claim=claim))

    async def accept(self, claim: str, note: str = "", *, patience: float | None = None) -> TaskChanged:
        """Accept the result under review: the task is done."""
        return await self._hold(TaskChanged, claim, "accept", checked(AcceptNew, claim=claim, note=note), patience)

    async def reject(self, claim: str, note: str, *, patience: float | None = None) -> TaskChanged:
        """Reject the result under review: the task is free for the member that did it, with a note in its thread."""
        return await self._hold(TaskChanged, claim, "reject", checked(RejectNew, claim=claim, note=note), patience)

    async def ask(
        self,
        claim: str,
        question: str,
        details: str = "",
        *,
        input: Any = None,  # noqa: A002  (the field's name)
        to: str | None = None,
    ) -> Asked:
        """Ask a person, and let the held task wait for the answer."""
        body = checked(AskNew, claim=claim, question=question, details=details, input=input, to=to)
        return await self._hold(Asked, claim, "ask", body)

    async def create_attempt_token(self, claim: str) -> KeySecret:
        """Make a token that acts as the holder for as long as the claim is live."""
        body = checked(TokenOfAttemptNew, claim=claim)
        while True:
            with contextlib.suppress(AlreadyExists):  # the answer with that one was lost; another does as well
                return await self._hold(KeySecret, claim, "token", body)

    async def answer(self, number: int, answer: Any) -> TaskChanged:
        """Answer a question that is assigned to oneself; its asker goes on."""
        return await self._steer(number, "answer", checked(AnswerNew, answer=answer))

    async def update_task(self, number: int, edit: TaskEdit) -> TaskChanged:
        """Change what a task says, or for whom it is."""
        return await self._ask(TaskChanged, "PATCH", await self._path("tasks", number), edit)

    async def add_dependency(self, number: int, other: int) -> TaskChanged:
        """Let a task wait for another one."""
        return await self._ask(TaskChanged, "PUT", await self._path("tasks", number, "dependencies", other))

    async def remove_dependency(self, number: int, other: int) -> TaskChanged:
        """Let a task no longer wait for another one."""
        return await self._ask(TaskChanged, "DELETE", await self._path("tasks", number, "dependencies", other))

    async def cancel(self, number: int, reason: str = "", *, cascade: bool = False) -> TaskChanged:
        """Cancel an unfinished task; with `cascade` all that depends on it and its children."""
        return await self._steer(number, "cancel", checked(CancelNew, reason=reason, cascade=cascade))

    async def retry(self, number: int) -> TaskChanged:
        """Open a failed or cancelled task again, with all its tries."""
        return await self._steer(number, "retry")

    async def block(self, number: int, reason: str) -> TaskChanged:
        """Block a task until it is resumed; a live attempt ends, which uses no try."""
        return await self._steer(number, "block", checked(BlockNew, reason=reason))

    async def resume_task(self, number: int) -> TaskChanged:
        """Let a task go on that was blocked by a budget or as stalled."""
        return await self._steer(number, "resume")

    async def _hold(self, shape: type[M], claim: str, verb: str, body: Any, patience: float | None = None) -> M:
        path = await self._path("tasks", claim.partition("/")[0], verb)
        return await self._ask(shape, "POST", path, body, patience=patience)

    async def _steer(self, number: int, verb: str, body: Any = None) -> TaskChanged:
        return await self._ask(TaskChanged, "POST", await self._path("tasks", number, verb), body)


def _given(**fields: Any) -> dict[str, Any]:
    """What was asked for: a server that knows nothing of the rest is asked for nothing of it."""
    return {name: value for name, value in fields.items() if value not in (None, [])}
