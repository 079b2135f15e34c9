"""The journal as an attempt writes it: every step under the next number, so that one that is sent again counts once."""

import asyncio
import dataclasses
import functools
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final, TypeVar

import anyio
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas import limits
from agentsquad.schemas.steps import Step, Steps
from backend.core.database import Database
from backend.core.errors import Overloaded
from backend.core.statements import Query
from backend.operations import steps, tasks
from backend.operations.steps import Outcome, StepNew
from backend.runner import cleaning, conversations
from backend.runner.conversations import Conversation
from backend.runner.tools import Holder

T = TypeVar("T")
ROOM: Final = 0.5  # seconds until a budget that calls under way fill is looked at again
PATIENCE: Final = (0.1, 0.5, 1.0, 2.0, 4.0)  # seconds before each new try while the database is busy or away


class Journal:
    """What happened at a task, and what happens.

    Args:
        database: where it is.
        holder: who writes.
        kind: of the attempt: of its kind alone does the model hear.
    """

    def __init__(self, database: Database, holder: Holder, kind: str) -> None:
        self._database = database
        self._holder = holder
        self._kind = kind
        self._steps: list[Step] = []
        self.attempts: list[dict[str, Any]] = []

    @property
    def next(self) -> int:
        """The number of the next step."""
        return self._steps[-1].step + 1 if self._steps else 1

    @property
    def heard(self) -> list[Step]:
        """The steps that belong to this conversation: of attempts of this kind, since the model was last new to it."""
        kinds = {each["attempt"]: each["kind"] for each in self.attempts}
        mine = [step for step in self._steps if kinds.get(step.attempt) == self._kind]
        begins = [index for index, step in enumerate(mine) if step.kind == "prompt" and step.content.get("new")]
        return mine[begins[-1] :] if begins else []

    @property
    def own(self) -> list[Step]:
        """The steps of this attempt."""
        return [step for step in self._steps if step.attempt == self._holder.attempt]

    @property
    def before(self) -> dict[str, Any] | None:
        """The attempt whose steps this one goes on from, if any."""
        last = self.heard[-1].attempt if self.heard else None
        return next((each for each in self.attempts if each["attempt"] == last), None)

    @property
    def since(self) -> list[dict[str, Any]]:
        """That attempt, and all after it that have ended, whoever made them."""
        first = self.before["attempt"] if self.before else 0
        return [each for each in self.attempts if each["ended_at"] and each["attempt"] >= first]

    @property
    def told(self) -> str:
        """How the model was last told of the task."""
        return next((str(step.content["text"]) for step in self.heard[::-1] if "new" in (step.content or ())), "")

    def conversation(self) -> Conversation:
        """Where the conversation stands."""
        return conversations.fold(self.heard)

    async def load(self) -> None:
        """Read what is there."""
        self.attempts = await self.items(tasks.attempts, self._holder.number)
        self._steps = []
        page = Steps(items=[], next=0)
        while page.next is not None:
            found = await self.read(steps.page, self._holder.number, page.next, limits.PAGE)
            page = Steps.model_validate(found) if found else Steps(items=[])
            self._steps += page.items

    async def quiet(self) -> int:
        """How many steps there were since the task's last event of its own."""
        found = await self.read(steps.quiet, self._holder.number)
        return int(found["steps"]) if found else 0

    async def record(self, kind: str, content: Any, name: str = "") -> None:
        """Write a step that is whole."""
        new = self._new(kind, name, content)
        await self.transact(steps.record, new)
        self._keep(new, "finished", new.content)

    async def act(self, name: str, call: dict[str, Any], effect: Callable[[AsyncSession], Awaitable[Any]]) -> Any:
        """Write a call of a tool of the squad's together with its effect. Answers the result.

        Raises:
            SquadError: what the effect raises; nothing is written then.
        """
        new = self._new("tool", name, call)

        async def done(session: AsyncSession) -> dict[str, Any]:
            return call | {"result": cleaning.json(await effect(session)), "error": False}

        content = await self.transact(steps.act, new, done)
        self._keep(new, "finished", content)
        return content["result"]

    async def hear(self, content: dict[str, Any], effect: Callable[[AsyncSession], Awaitable[Any]]) -> None:
        """Write what the model is told together with what is thereby dealt with."""
        new = self._new("prompt", "", content)

        async def done(session: AsyncSession) -> Any:
            await effect(session)
            return new.content

        await self.transact(steps.act, new, done)
        self._keep(new, "finished", new.content)

    async def begin(
        self, kind: str, name: str, content: Any = None, *, tokens: int = 0, cost: Decimal | None = None
    ) -> bool:
        """Begin a step once calls under way leave room for it; False: a budget has none, and the task is blocked."""
        new = self._new(kind, name, content, tokens, cost)
        while (begun := await self.transact(steps.begin, new)) is None:  # noqa: ASYNC110  (another process may end it)
            await anyio.sleep(ROOM)
        if begun:
            self._keep(new, "started", new.content)
        return begun

    async def end(self, outcome: Outcome) -> bool:
        """End the step that was begun last; False: the attempt was over before.

        What is known by now is written, though the attempt be stopped meanwhile: only then can its task be given back.
        """
        step = self._steps[-1]
        outcome = dataclasses.replace(outcome, content=cleaning.json(outcome.content))
        writing = asyncio.create_task(self.transact(steps.end, self._holder.claim, step.step, outcome))
        try:
            live = await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise
        state = outcome.state if live else "unknown"
        self._steps[-1] = step.model_copy(update={"state": state, "content": outcome.content})
        return live

    async def read(self, query: Query, *args: object) -> dict[str, Any] | None:
        """Ask as the holder; None: it sees no such thing."""
        holder = self._holder
        found = await self._patiently(
            functools.partial(self._database.reads.json, query, holder.actor, holder.squad, *args)
        )
        data: dict[str, Any] | None = json.loads(found) if found else None
        return data

    async def items(self, query: Query, *args: object) -> list[dict[str, Any]]:
        """The items of a page; none if the holder doesn't see it."""
        found = await self.read(query, *args)
        items: list[dict[str, Any]] = found["items"] if found else []
        return items

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again while the database is busy or away.

        Raises:
            Overloaded: it stays so.
        """
        for seconds in PATIENCE:
            try:
                return await ask()
            except Overloaded:
                await anyio.sleep(seconds)
        return await ask()

    async def transact(self, operation: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run an operation as the holder, in a transaction."""
        holder = self._holder
        write = functools.partial(self._database.transact, operation, holder.actor, holder.squad, *args)
        return await self._patiently(write)

    def _new(self, kind: str, name: str, content: Any, tokens: int = 0, cost: Decimal | None = None) -> StepNew:
        return StepNew(self._holder.claim, self.next, kind, name, cleaning.json(content), tokens, cost)

    def _keep(self, new: StepNew, state: str, content: Any) -> None:
        step: dict[str, Any] = dict.fromkeys(Step.model_fields)
        step |= {"step": new.number, "attempt": self._holder.attempt, "kind": new.kind, "state": state}
        step |= {"name": new.name, "content": content}
        self._steps.append(Step.model_construct(**step))
