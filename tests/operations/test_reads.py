import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import text

from agentsquad.schemas import budgets as budget_schemas
from agentsquad.schemas import events as event_schemas
from agentsquad.schemas import members as member_schemas
from agentsquad.schemas import messages as message_schemas
from agentsquad.schemas import squads as squad_schemas
from agentsquad.schemas import steps as step_schemas
from agentsquad.schemas import tasks as task_schemas
from agentsquad.schemas import users as user_schemas
from agentsquad.schemas.budgets import BudgetNew
from agentsquad.schemas.messages import MessageNew
from agentsquad.schemas.tasks import TaskNew
from backend.core.database import Database
from backend.core.settings import Settings
from backend.core.statements import Query
from backend.operations import budgets, events, keys, members, messages, squads, steps, tasks, users
from backend.operations.access import MemberRef
from backend.operations.steps import Outcome, StepNew
from backend.operations.tasks import Wanted
from tests.conftest import new_database
from tests.operations.scene import Scene, plain, play


async def fill(url: str) -> Scene:
    """A scene that is committed, with something of everything on its board."""
    database = Database(Settings(DATABASE_URL=url))
    async with database.AsyncSessionLocal() as db:
        scene = await play(db)
        await scene.create(
            TaskNew(title="¿a?", key="a", input={"deep": [{"n": 1.5}]}),
            TaskNew(title="b", depends_on=["a"], assignee="tess"),
            TaskNew(title="c", role="tester"),
            TaskNew(title="d"),
        )
        await scene.complete(scene.ada, (await scene.hold(scene.ada, 1)).claim, {"text": '"quoted" \\ \n'})
        await scene.hold(scene.tess, 3)
        await scene.fail(scene.ada, (await scene.hold(scene.ada, 4)).claim, "no")
        await scene.do(keys.create, scene.owner, None, "laptop")
        await scene.do(members.create_token, scene.owner, scene.squad, "tess", "laptop")
        await scene.do(messages.send, scene.ada, scene.squad, MessageNew(to="tess", body="¿see #1?"))
        await scene.do(messages.send, scene.ada, scene.squad, MessageNew(task=1, body="done"))
        begun = StepNew("3/1", 2, "answer", "m:x", tokens=9, cost=Decimal("0.125"))
        await scene.do(steps.record, scene.tess, scene.squad, StepNew("3/1", 1, "prompt", content={"text": "¿go?"}))
        for number in (2, 3):
            await scene.do(steps.begin, scene.tess, scene.squad, replace(begun, number=number))
            given = Outcome({"message": {"parts": []}}, input_tokens=5, cost=None if number == 2 else Decimal("0.1"))
            await scene.do(steps.end, scene.tess, scene.squad, "3/1", number, given)
        await scene.do(budgets.set_task, scene.owner, scene.squad, 3, BudgetNew(cost=0.3, calls=10**15))
        # How long ago somebody was seen is in sentences; so long ago it is the same for two reads, one after the other.
        await db.execute(text("UPDATE members SET last_seen_at = last_seen_at - interval '3 days'"))
        await db.commit()
    await database.close()
    return scene


@pytest.fixture(scope="module")
def filled(server_url: str, template: str) -> Iterator[tuple[str, Scene]]:
    """A database that all tests read and none changes, and the scene that is in it."""
    with new_database(server_url, template) as url:
        yield url, asyncio.run(fill(url))


@pytest.fixture
async def database(filled: tuple[str, Scene]) -> AsyncIterator[Database]:
    database = Database(Settings(DATABASE_URL=filled[0]))
    yield database
    await database.close()


@pytest.fixture
async def kept(filled: tuple[str, Scene], database: Database) -> AsyncIterator[Scene]:
    async with database.AsyncSessionLocal() as db:
        yield replace(filled[1], db=db)


TESS = MemberRef(None, "tess")
READS: list[tuple[Query, tuple[Any, ...], type[BaseModel]]] = [
    (users.me, (), user_schemas.User),
    (users.get, ("owner",), user_schemas.User),
    (users.page, ("", 50), user_schemas.Users),
    (keys.mine, (), user_schemas.Keys),
    (squads.get, ("squad",), squad_schemas.Squad),
    (squads.page, ("", 50), squad_schemas.Squads),
    (members.page, ("squad", "", 50), member_schemas.Members),
    (members.one, ("squad", TESS), member_schemas.Member),
    (members.me, ("squad",), member_schemas.Me),
    (members.tokens, ("squad", TESS), member_schemas.Tokens),
    (messages.page(), ("squad", 0, 50), message_schemas.Messages),
    (messages.page("task"), ("squad", 0, 50, 1), message_schemas.Messages),
    (messages.inbox(), ("squad", TESS, 0, 50), message_schemas.Inbox),
    (messages.inbox("unread"), ("squad", TESS, 0, 1), message_schemas.Inbox),
    (messages.inbox("unread", "task"), ("squad", TESS, 0, 1, 1), message_schemas.Inbox),
    (messages.latest, ("squad", TESS, 1_000, 1), message_schemas.Inbox),
    (messages.latest, ("squad", TESS, 1_000, 50), message_schemas.Inbox),
    (members.team, ("squad",), member_schemas.Team),
    (tasks.relatives, ("squad", 2, 50), task_schemas.Relatives),
    (tasks.questions, ("squad", 50), task_schemas.Tasks),
    (tasks.attempts, ("squad", 1), task_schemas.Attempts),
    (tasks.page("role", "assignee"), ("squad", Wanted(role="", assignee="tess"), 0, 50), task_schemas.Tasks),
    (tasks.page("holder"), ("squad", Wanted(holder="tess"), 0, 50), task_schemas.Tasks),
    (tasks.page("parent"), ("squad", Wanted(parent=1), 0, 50), task_schemas.Tasks),
    (events.after("task", "kinds"), ("squad", 0, 50, 1, ["task.claimed"]), event_schemas.Events),
    (tasks.page(), ("squad", Wanted(), 0, 50), task_schemas.Tasks),
    (tasks.page("status"), ("squad", Wanted("todo"), 0, 1), task_schemas.Tasks),
    (tasks.board, ("squad",), task_schemas.Board),
    (steps.page, ("squad", 3, 0, 50), step_schemas.Steps),
    (steps.page, ("squad", 3, 1, 1), step_schemas.Steps),
    (steps.page, ("squad", 1, 0, 50), step_schemas.Steps),
    (steps.latest, ("squad", 3, 3, 1), step_schemas.Steps),
    (steps.latest, ("squad", 3, 3, 2), step_schemas.Steps),
    (budgets.squad, ("squad",), budget_schemas.Usage),
    (budgets.task, ("squad", 3), budget_schemas.TaskUsage),
    (budgets.task, ("squad", 1), budget_schemas.TaskUsage),
    (events.after(), ("squad", 0, 50), event_schemas.Events),
    (events.after(), ("squad", 4, 2), event_schemas.Events),
]


def given(scene: Scene, args: tuple[Any, ...]) -> list[Any]:
    named = {"squad": scene.squad, "owner": str(scene.owner.user_id)}
    return [scene.owner, *[named.get(arg, arg) if isinstance(arg, str) else arg for arg in args]]


@pytest.mark.parametrize(("query", "args", "schema"), READS)
async def test_the_bytes_are_the_schema_and_say_what_the_objects_say(
    database: Database, kept: Scene, query: Query, args: tuple[Any, ...], schema: type[BaseModel]
) -> None:
    values = given(kept, args)
    body = await database.reads.json(query, *values)
    assert body is not None
    async with database.AsyncSessionLocal() as db:
        row = (await db.execute(query(*values))).mappings().one()
    objects = schema.model_validate({name: plain(value) for name, value in row.items()})
    assert schema.model_validate_json(body) == objects
    assert set(schema.model_fields) == set(row.keys())


async def test_a_task_too(database: Database, kept: Scene) -> None:
    for number in (1, 2, 3, 4):
        body = await database.reads.value(tasks.get, kept.owner, kept.squad, number)
        assert body is not None
        assert task_schemas.Task.model_validate_json(body) == await kept.task(number)


@pytest.mark.parametrize(("query", "args", "schema"), [READS[0], *READS[4:5], *READS[6:]])
async def test_nothing_for_whom_it_is_not(
    database: Database, kept: Scene, query: Query, args: tuple[Any, ...], schema: type[BaseModel]
) -> None:
    _, *rest = given(kept, args)
    stranger = kept.ada if query is users.me else kept.eve
    assert await database.reads.json(query, stranger, *rest) is None
