import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.messages import MessageNew
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import TaskEdit, TaskNew
from backend.core.database import Database
from backend.core.errors import AlreadyCreated, IdempotencyMismatch, Invalid
from backend.operations import idempotency, members, messages, squads, tasks
from backend.operations.access import Actor, SquadRef
from tests.operations.scene import Scene, account


async def once(scene: Scene, actor: Actor, key: str | None, operation: Any, *args: Any, **more: Any) -> Any:
    return await scene.do(idempotency.once, actor, key, operation, scene.squad, *args, **more)


async def made(scene: Scene, actor: Actor, key: str | None, title: str = "one") -> str:
    """Make a task under a key."""
    return str(await once(scene, actor, key, tasks.create, [TaskNew(title=title)]))


async def kept(scene: Scene) -> int:
    """How many keys are remembered."""
    return int(await scene.db.scalar(text("SELECT count(*) FROM idempotency_keys")) or 0)


async def age(scene: Scene, ago: timedelta) -> None:
    """Let time pass."""
    await scene.db.execute(
        text("UPDATE idempotency_keys SET created_at = created_at - CAST(:ago AS interval)"), {"ago": ago}
    )


async def test_the_same_request_has_the_same_answer_and_one_effect(scene: Scene) -> None:
    answer = await made(scene, scene.ada, "k")
    log = await scene.log()
    assert await made(scene, scene.ada, "k") == answer
    assert await scene.log() == log
    assert await kept(scene) == 1


async def test_without_a_key_it_is_done_again(scene: Scene) -> None:
    assert await made(scene, scene.ada, None) != await made(scene, scene.ada, None)
    assert await kept(scene) == 0


async def test_the_first_answer_stays_though_the_task_went_on(scene: Scene) -> None:
    answer = await made(scene, scene.ada, "k")
    await scene.hold(scene.ada)
    assert await made(scene, scene.ada, "k") == answer


async def test_an_answer_that_is_shown_is_remembered_as_shown(scene: Scene) -> None:
    def show(sent: tuple[int, Any]) -> Any:
        return messages.sent(scene.ada, scene.squad, *sent)

    new = MessageNew(to="tess", body="hello")
    first = await once(scene, scene.ada, "k", messages.send, new, show=show)
    assert await once(scene, scene.ada, "k", messages.send, new, show=show) == first
    assert len((await scene.inbox(scene.tess)).items) == 1


async def test_another_request_under_the_key_is_a_mismatch(scene: Scene) -> None:
    await made(scene, scene.owner, "k")
    garden = SquadRef(await scene.do(squads.create, scene.owner, SquadNew(name="garden")), None)
    as_ada = replace(scene.owner, acts_as="ada")
    before = await scene.log()
    others: list[tuple[Any, ...]] = [
        (scene.owner, "k", tasks.create, scene.squad, [TaskNew(title="another body")]),
        (scene.owner, "k", tasks.update, scene.squad, 1, TaskEdit(title="another operation")),
        (scene.owner, "k", tasks.create, garden, [TaskNew(title="one")]),
        (as_ada, "k", tasks.create, scene.squad, [TaskNew(title="one")]),
    ]
    for other in others:
        with pytest.raises(IdempotencyMismatch, match="use a new one"):
            await scene.do(idempotency.once, *other)
    assert await scene.log() == before


async def test_each_actor_has_its_own_keys(scene: Scene) -> None:
    answers = {await made(scene, actor, "k") for actor in (scene.owner, scene.ada, scene.tess, scene.paul)}
    assert len(answers) == 4
    assert await kept(scene) == 4


async def test_an_error_is_not_remembered(scene: Scene) -> None:
    args = (tasks.create, [TaskNew(title="one", depends_on=[1])])
    with pytest.raises(Invalid):
        await once(scene, scene.ada, "k", *args)
    assert await kept(scene) == 0
    await scene.create("first")
    answer = await once(scene, scene.ada, "k", *args)
    assert await once(scene, scene.ada, "k", *args) == answer


async def test_a_claim_that_found_nothing_is_not_remembered(scene: Scene) -> None:
    assert await once(scene, scene.ada, "k", tasks.claim, None, 1) is None
    assert await kept(scene) == 0
    await scene.create("one", "two")
    claimed = await once(scene, scene.ada, "k", tasks.claim, None, 1)
    assert await once(scene, scene.ada, "k", tasks.claim, None, 1) == claimed
    assert (await scene.task(2)).status == "todo"


async def test_a_secret_is_not_stored_and_its_repetition_names_what_was_made(scene: Scene) -> None:
    secret = await once(scene, scene.owner, "k", members.create_token, "ada", "laptop")
    with pytest.raises(AlreadyCreated) as caught:
        await once(scene, scene.owner, "k", members.create_token, "ada", "laptop")
    assert caught.value.fields == {"id": secret.id}
    stored = await scene.db.scalar(text("SELECT CAST(to_jsonb(k) AS text) FROM idempotency_keys k"))
    assert str(secret.id) in stored
    assert secret.secret not in stored
    assert (await scene.kinds()).count("member.token_created") == 1


async def test_after_a_day_the_key_is_free_again(scene: Scene) -> None:
    answer = await made(scene, scene.ada, "k")
    await age(scene, timedelta(hours=23, minutes=59))
    assert await made(scene, scene.ada, "k") == answer
    await age(scene, timedelta(minutes=2))
    again = await made(scene, scene.ada, "k", "two")
    assert again != answer
    assert await made(scene, scene.ada, "k", "two") == again
    assert await kept(scene) == 1


async def test_a_day_later_a_secret_is_forgotten_too(scene: Scene) -> None:
    await once(scene, scene.owner, "k", members.create_token, "ada", "")
    await age(scene, timedelta(hours=25))
    answer = await made(scene, scene.owner, "k")
    assert await made(scene, scene.owner, "k") == answer


async def test_what_is_older_than_a_day_is_deleted_and_nothing_else(scene: Scene) -> None:
    await made(scene, scene.ada, "old")
    await age(scene, timedelta(hours=24, minutes=1))
    young = await made(scene, scene.ada, "young")
    await idempotency.forget(scene.db)
    assert await kept(scene) == 1
    assert await made(scene, scene.ada, "young") == young


async def test_what_is_rolled_back_takes_its_key_with_it(scene: Scene) -> None:
    async with scene.db.begin_nested() as transaction:
        await made(scene, scene.ada, "k")
        assert await kept(scene) == 1
        await transaction.rollback()
    assert await kept(scene) == 0
    assert "task.created" not in await scene.kinds()


# at once


async def founded(database: Database) -> tuple[Actor, SquadRef]:
    """An owner and a squad that other sessions see."""
    owner = await database.transact(account, "owner@example.com")
    return owner, SquadRef(await database.transact(squads.create, owner, SquadNew(name="webshop")), None)


async def waits(session: AsyncSession, pid: int) -> bool:
    """Whether that connection waits for a lock."""
    waiting = text("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = :pid")
    return bool(await session.scalar(waiting, {"pid": pid}))


@pytest.mark.parametrize("ends", ["commit", "rollback"])
async def test_one_that_comes_meanwhile_waits_for_the_first(database: Database, ends: str) -> None:
    owner, squad = await founded(database)
    args = (owner, "k", tasks.create, squad, [TaskNew(title="one")])
    sessions = [AsyncSession(database.async_engine) for _ in range(3)]
    first, second, watcher = sessions
    try:
        answer = await idempotency.once(first, *args)
        pid = int(await second.scalar(text("SELECT pg_backend_pid()")) or 0)
        later = asyncio.create_task(idempotency.once(second, *args))
        async with asyncio.timeout(60):
            while not await waits(watcher, pid):
                assert not later.done()
                await watcher.rollback()
                await asyncio.sleep(0.01)
        await getattr(first, ends)()
        async with asyncio.timeout(60):
            repeated = await later
        await second.commit()
        assert (repeated == answer) == (ends == "commit")
        assert await watcher.scalar(text("SELECT count(*) FROM tasks")) == 1
        assert await watcher.scalar(text("SELECT max(number) FROM tasks")) == 1
    finally:
        for session in sessions:
            await session.close()


async def test_of_ten_at_once_one_takes_effect(database: Database) -> None:
    owner, squad = await founded(database)
    args = (owner, "k", tasks.create, squad, [TaskNew(title="one")])
    answers = await asyncio.gather(*[database.transact(idempotency.once, *args) for _ in range(10)])
    assert len(set(answers)) == 1
    async with AsyncSession(database.async_engine) as session:
        assert await session.scalar(text("SELECT count(*) FROM tasks")) == 1
