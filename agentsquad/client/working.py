"""Working as a member: claims that come as they fall due, with their heartbeats, each ended whatever happens."""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Awaitable, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

from agentsquad.client.errors import AlreadyExists, LostClaim, Reserved, SquadError, Unreachable, checked
from agentsquad.client.members import MemberCalls
from agentsquad.client.messages import MessageCalls
from agentsquad.client.tasks import TaskCalls
from agentsquad.schemas import limits
from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.messages import MessageSent
from agentsquad.schemas.tasks import AttemptKind, Claim, Task, TaskChanged, TaskNew, TaskResult

T = TypeVar("T")
LEFT: Final = "The worker left it unfinished."
STOPPED: Final = "The worker was stopped."
RESERVED: Final = 2.0  # seconds until the next look at what somebody else reserves
REASON: Final = 4096  # characters of an error that are kept as a reason


class Held:
    """A claim that is held now; its lease is renewed until it is ended, or lost.

    Attributes:
        task: the task.
        claim: the handle, as in `"12/3"`.
        kind: `work`, or `review` when its result is to be accepted or rejected.
        paths: what is reserved for it until it is ended.
        dependencies: what the tasks that it waited for came to.
        children: what the tasks that it was split into came to.
        live: whether it is held still; when it is lost, every call about it raises `LostClaim`.
    """

    def __init__(self, client: "WorkCalls", claim: Claim) -> None:
        self._client = client
        self.task: Task = claim.task
        self.claim: str = claim.claim
        self.kind: AttemptKind = claim.kind
        self.paths: list[str] = claim.paths
        self.dependencies: list[TaskResult] = claim.dependencies
        self.children: list[TaskResult] = claim.children
        self.live = True
        self._beating = asyncio.create_task(self._beat(claim.lease_seconds))

    async def complete(self, result: Any = None) -> TaskChanged:
        """Hand in the result; while the server is away, try on."""
        return await self._end(self._client.complete(self.claim, result, patience=math.inf))

    async def fail(self, reason: str, *, retry: bool = False) -> TaskChanged:
        """End it without a result; with `retry` the task is free again while a try is left."""
        return await self._end(self._client.fail(self.claim, reason[:REASON], retry=retry, patience=math.inf))

    async def release(self, reason: str = "") -> TaskChanged:
        """Give it back, which uses no try."""
        return await self._end(self._client.release(self.claim, reason))

    async def handoff(self, note: str, *, to: str | None = None, role: str | None = None) -> TaskChanged:
        """Give the task to a member or a role, with a note in its thread."""
        return await self._end(self._client.handoff(self.claim, note, to=to, role=role))

    async def wait_for_children(self) -> TaskChanged:
        """Let the task wait until its children have ended; it comes back then, with what they came to."""
        return await self._end(self._client.wait_for_children(self.claim))

    async def accept(self, note: str = "") -> TaskChanged:
        """Accept the result under review."""
        return await self._end(self._client.accept(self.claim, note))

    async def reject(self, note: str) -> TaskChanged:
        """Reject the result under review."""
        return await self._end(self._client.reject(self.claim, note))

    async def ask(self, question: str, details: str = "", *, to: str | None = None) -> Task:
        """Ask a person, and let the task wait; it comes back with the answer among its `children`."""
        return (await self._end(self._client.ask(self.claim, question, details, to=to))).question

    async def create_tasks(self, new: Sequence[TaskNew]) -> list[Task]:
        """Split off tasks, as children of this one, under its fence."""
        own = [
            task if task.parent is not None else task.model_copy(update={"parent": self.task.number}) for task in new
        ]
        return await self._client.create_tasks(own, claim=self.claim)

    async def send(self, body: str, *, to: str | None = None) -> MessageSent:
        """Write into the task's thread, or to a member in it, under its fence."""
        return await self._client.send(body, to=to, task=self.task.number, claim=self.claim)

    async def _end(self, ending: Awaitable[T]) -> T:
        """What ends it; a refusal for another reason than a lost claim leaves it held."""
        try:
            answer = await ending
        except LostClaim:
            self.drop()
            raise
        self.drop()
        return answer

    def drop(self) -> None:
        """Renew it no more: it is ended or lost."""
        self.live = False
        self._beating.cancel()

    async def leave(self, error: BaseException | None, *, retry: bool) -> None:
        """End it for a worker that didn't: given back if the worker was stopped, failed if it broke or forgot."""
        if not self.live:
            return
        with contextlib.suppress(SquadError):
            if error is None:
                await self.fail(LEFT, retry=retry)
            elif isinstance(error, Exception):
                await self.fail(f"{type(error).__name__}: {error}".strip(": "), retry=retry)
            else:
                await self.release(STOPPED)
        self.drop()

    async def _beat(self, lease: int | None) -> None:
        while lease is not None:
            await asyncio.sleep(lease / 3)
            try:
                await self._client.heartbeat(self.claim)
            except Unreachable:
                continue
            except SquadError:
                self.live = False
                return


class WorkCalls(TaskCalls, MemberCalls, MessageCalls):
    """Working as a member."""

    def __init__(self, *args: Any, member: str | None = None, **more: Any) -> None:
        super().__init__(*args, member=member, **more)
        self._member = member
        self._held: Held | None = None
        self._retry = False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._leave(error)
        finally:
            await super().__aexit__(kind, error, trace)

    async def join(self, role: str = "") -> None:
        """Add the member as whom the client acts, unless it is there already. Takes the squad's owner."""
        if self._member is None:
            return
        async with type(self)(self.url, self._key, squad=await self.squad_id()) as owner:
            if all(member.name != self._member for member in await owner.members()):
                with contextlib.suppress(AlreadyExists):  # somebody was quicker
                    await owner.add_member(checked(MemberNew, name=self._member, role=role))

    async def work(
        self, *, role: str = "", retry: bool = False, paths: str | Sequence[str] = ()
    ) -> AsyncGenerator[Held]:
        """The tasks that fall to this member, one at a time, without an end; each is held while it is worked on.

        What the body doesn't end itself is ended for it: failed when it raises, with the error as the reason, or
        when it goes on without having ended it; given back when it is cancelled.

        Args:
            role: of a new member, which is added to the squad if the client acts as one that isn't there.
            retry: whether what failed is tried again while a try is left.
            paths: what to reserve for each task, as globs; what somebody else reserves is waited for.
        """
        await self.join(role)
        self._retry = retry
        while True:
            claim = await self._next(paths)
            if claim is None:
                continue
            held = self._held = Held(self, claim)
            try:
                yield held
            finally:
                if self._held is held:
                    await self._leave(None)

    async def _next(self, paths: str | Sequence[str]) -> Claim | None:
        """The next claim; a server that is away is waited for, and so is whoever reserves its paths."""
        try:
            return await self.claim(wait=float(limits.WAIT), paths=paths)
        except Unreachable:
            await asyncio.sleep(1)
        except Reserved:
            await asyncio.sleep(RESERVED)
        return None

    async def _leave(self, error: BaseException | None) -> None:
        held, self._held = self._held, None
        if held is not None:
            await asyncio.shield(held.leave(error, retry=self._retry))
