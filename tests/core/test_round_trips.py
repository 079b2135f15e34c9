"""Round trips cost more than anything else, so their number is a promise: here it is counted on the wire."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import Claim, Claims, CompleteNew, FailNew, HeartbeatNew, TaskNew
from agentsquad.schemas.users import UserNew
from backend.core.database import Database
from backend.core.reads import Lane
from backend.core.settings import Settings
from backend.operations import events, keys, squads, tasks, users
from backend.operations.access import Actor, SquadRef
from tests.wire import Relay, relayed, turns_of

BEGIN_AND_COMMIT = 2


@dataclass
class Scene:
    relay: Relay
    database: Database
    ada: Actor
    squad: SquadRef

    async def turns(self, call: Callable[[], Awaitable[object]]) -> int:
        return await turns_of(self.relay, call)

    async def create(self, count: int) -> object:
        """A batch, each task waiting for the one before."""
        new = [TaskNew(title=f"task {n}", key=f"k{n}", depends_on=[f"k{n - 1}"] if n else []) for n in range(count)]
        return await self.database.transact(tasks.create, self.ada, self.squad, new)

    async def claim(self) -> Claim:
        """The next task."""
        claimed = await self.database.transact(tasks.claim, self.ada, self.squad)
        assert claimed is not None
        return Claims.model_validate_json(claimed).items[0]


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with relayed(database_url) as relay:
        database = Database(Settings(DATABASE_URL=relay.url()))
        user = await database.transact(users.create, Actor(is_admin=True), UserNew(email="ada@example.org"))
        ada = Actor(user_id=user.id)
        squad_id: UUID = await database.transact(squads.create, ada, SquadNew(name="docs"))
        yield Scene(relay, database, ada, SquadRef(squad_id, None))
        await database.close()


async def test_a_hot_read_is_one(scene: Scene) -> None:
    reads, ada, squad = scene.database.reads, scene.ada, scene.squad
    assert await scene.turns(lambda: reads.json(users.get, ada, str(ada.user_id))) == 1
    assert await scene.turns(lambda: reads.json(squads.get, ada, squad)) == 1
    assert await scene.turns(lambda: reads.row(keys.user_of, b"digest")) == 1
    assert await scene.turns(lambda: reads.json(events.after(), ada, squad, 0, 100)) == 1
    assert await scene.turns(lambda: reads.json(tasks.board, ada, squad)) == 1
    assert await scene.turns(lambda: reads.json(squads.page, ada, "", 50)) == 1
    assert await scene.turns(lambda: reads.value(tasks.get, ada, squad, 1)) == 1
    assert await scene.turns(lambda: reads.row(keys.member_of, b"digest")) == 1


async def test_a_transaction_is_its_statements_and_two(scene: Scene) -> None:
    async def ask(session: AsyncSession, times: int) -> None:
        for _ in range(times):
            await session.execute(text("SELECT 1"))

    assert await scene.turns(lambda: scene.database.transact(ask, 1)) == 1 + BEGIN_AND_COMMIT
    assert await scene.turns(lambda: scene.database.transact(ask, 5)) == 5 + BEGIN_AND_COMMIT


async def test_a_session_that_only_reads_is_no_worse(scene: Scene) -> None:
    async def ask() -> None:
        async with scene.database.AsyncSessionLocal() as session:
            await session.execute(text("SELECT 1"))

    assert await scene.turns(ask) == 1 + BEGIN_AND_COMMIT


async def test_the_hot_writes_are_one_in_a_transaction(scene: Scene) -> None:
    database, ada, squad = scene.database, scene.ada, scene.squad
    for _ in range(6):
        await scene.create(1)
    assert await scene.turns(scene.claim) == 1 + BEGIN_AND_COMMIT
    held = [await scene.claim() for _ in range(4)]

    async def heartbeat() -> None:
        await database.transact(tasks.heartbeat, ada, squad, held[0].task.number, HeartbeatNew(claim=held[0].claim))

    async def complete() -> None:
        claim = held.pop()
        await database.transact(
            tasks.complete, ada, squad, claim.task.number, CompleteNew(claim=claim.claim, result={"ok": True})
        )

    assert await scene.turns(heartbeat) == 1 + BEGIN_AND_COMMIT

    async def reserve() -> None:
        await database.transact(tasks.claim, ada, squad, None, 1, ["src/"], 300)

    assert await scene.turns(reserve) == 2 + BEGIN_AND_COMMIT

    async def fail() -> None:
        claim = held.pop()
        given = FailNew(claim=claim.claim, reason="no access", retry=False)
        await database.transact(tasks.fail, ada, squad, claim.task.number, given)

    assert await scene.turns(complete) == 1 + BEGIN_AND_COMMIT
    assert await scene.turns(fail) == 1 + BEGIN_AND_COMMIT


@pytest.mark.parametrize("count", [1, 2, 100])
async def test_a_batch_of_any_size_is_six_at_most(scene: Scene, count: int) -> None:
    assert await scene.turns(lambda: scene.create(count)) <= 6


async def test_the_count_sees_one_statement_more(scene: Scene) -> None:
    class Chatty(Lane):
        async def _take(self, loans: Any) -> Any:
            slot = await super()._take(loans)
            await slot.connection.execute("SELECT 1")
            return slot

    lane = Chatty(scene.database.async_engine, size=1, wait=1)
    assert await scene.turns(lambda: lane.row(keys.user_of, b"digest")) == 2
    await lane.close()
