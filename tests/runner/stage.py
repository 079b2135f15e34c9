"""A squad of hosted members, and a runner whose models say what the test lets them say."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic_ai.messages import ModelMessage, ToolReturnPart, UserPromptPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.squads import SquadEdit
from agentsquad.schemas.steps import Step, Steps
from agentsquad.schemas.tasks import Task, TaskNew, TasksMade
from backend.core.database import Database
from backend.live.feed import Feed
from backend.operations import events, members, messages, squads, steps, tasks
from backend.operations.access import Actor, SquadRef
from backend.runner.models import Models
from backend.runner.runners import Runner
from backend.runner.working import House
from tests.campaigns.crew import eventually, found, until

PATIENCE = 30.0  # seconds in which everything here happens many times over
Said = str | tuple[str, dict[str, Any]] | list[Any]
Mind = Callable[["Heard"], Said | Awaitable[Said]]


@dataclass
class Heard:
    """What a model is asked."""

    messages: list[ModelMessage]
    instructions: str
    tools: list[str]
    described: list[str] = field(default_factory=list)

    @property
    def prompts(self) -> list[str]:
        """What it was told."""
        return [
            part.content for part in self._parts() if isinstance(part, UserPromptPart) and isinstance(part.content, str)
        ]

    @property
    def results(self) -> list[str]:
        """What its tools answered since it was last told of the task."""
        found: list[str] = []
        for part in self._parts():
            if isinstance(part, UserPromptPart) and '"dependencies"' in str(part.content):
                found = []
            elif isinstance(part, ToolReturnPart):
                found.append(part.model_response_str())
        return found

    @property
    def task(self) -> dict[str, Any]:
        """The task, as it was last told of it."""
        texts = [text.partition("\n\n")[2] for text in self.prompts]
        told: dict[str, Any] = next(data for data in map(json.loads, reversed(texts)) if "dependencies" in data)
        return told

    def _parts(self) -> list[Any]:
        return [part for message in self.messages for part in message.parts]


@dataclass
class Minds:
    """Models by their names, in the place of `Models`."""

    minds: dict[str, Mind] = field(default_factory=dict)
    asked: list[tuple[str, Heard]] = field(default_factory=list)

    def name(self, hosting: Hosting) -> str:
        """As it is configured."""
        return hosting.model

    async def resolve(self, hosting: Hosting) -> Model:
        """The model."""
        name = hosting.model

        async def answer(heard: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
            tools = {tool.name: tool.description or "" for tool in info.function_tools}
            question = Heard(heard, info.instructions or "", list(tools), list(tools.values()))
            self.asked.append((name, question))
            said = self.minds[name](question)
            parts = await said if isinstance(said, Awaitable) else said
            for index, each in enumerate(parts if isinstance(parts, list) else [parts]):
                if isinstance(each, str):
                    yield each
                elif isinstance(each, Awaitable):
                    await each
                else:
                    yield {index: DeltaToolCall(each[0], json.dumps(each[1]))}

        return FunctionModel(stream_function=answer)


@dataclass
class Stage:
    """The squad and what happens in it."""

    database: Database
    feed: Feed
    owner: Actor
    squad: SquadRef
    minds: Minds

    async def host(self, name: str, mind: Mind, role: str | None = None, **how: Any) -> None:
        """Add a hosted member whose model thinks like that; the model is called as the member, or as is said."""
        hosting = Hosting(**{"model": name} | how)
        self.minds.minds[hosting.model] = mind
        new = MemberNew(name=name, kind="hosted", role=name if role is None else role, hosting=hosting)
        await self.database.transact(members.add, self.owner, self.squad, new)

    async def create(self, title: str = "x", **more: Any) -> int:
        """Make a task."""
        new = [TaskNew(title=title, **more)]
        made = await self.database.transact(tasks.create, self.owner, self.squad, new)
        return TasksMade.model_validate_json(made).items[0].number

    async def task(self, number: int) -> Task:
        """A task."""
        value = await self.database.reads.value(tasks.get, self.owner, self.squad, number)
        assert value is not None
        return Task.model_validate_json(value)

    async def becomes(self, number: int, *statuses: str) -> Task:
        """A task once it has come so far."""

        async def has() -> bool:
            return (await self.task(number)).status in statuses

        await eventually(has, PATIENCE)
        return await self.task(number)

    async def journal(self, number: int) -> list[Step]:
        """The steps of a task."""
        body = await self.database.reads.json(steps.page, self.owner, self.squad, number, 0, 200)
        assert body is not None
        return Steps.model_validate_json(body).items

    async def told(self, number: int) -> list[str]:
        """What the thread of a task says."""
        body = await self.database.reads.json(messages.page("task"), self.owner, self.squad, 0, 200, number)
        assert body is not None
        return [each["body"] for each in json.loads(body)["items"]]

    async def kinds(self) -> list[str]:
        """The kinds of all events."""
        body = await self.database.reads.json(events.after(), self.owner, self.squad, 0, 10_000)
        assert body is not None
        return [each["kind"] for each in json.loads(body)["items"]]

    async def do(self, operation: Any, *args: Any) -> Any:
        """What the owner does."""
        return await self.database.transact(operation, self.owner, self.squad, *args)

    @asynccontextmanager
    async def running(self, grace: float = 0.0) -> AsyncIterator[Runner]:
        """A runner as long as the block lasts."""
        house = House(self.database, cast("Models", self.minds), self.feed.say)
        runner = Runner(house, self.feed)
        looking = asyncio.create_task(runner.run())
        try:
            yield runner
        finally:
            looking.cancel()
            await asyncio.wait([looking])
            await runner.drain(grace)


@asynccontextmanager
async def staged(database: Database) -> AsyncIterator[Stage]:
    """A squad without hosted members yet, and its feed."""
    team = await found(database, 1, lease_seconds=60)
    feed = Feed(database)
    following = asyncio.create_task(feed.run())
    try:
        await until(lambda: database.on_change is not None, PATIENCE)
        await database.transact(squads.update, team.owner, team.squad, SquadEdit(max_tries=5))
        yield Stage(database, feed, team.owner, team.squad, Minds())
    finally:
        feed.end()
        following.cancel()
        await asyncio.wait([following])
