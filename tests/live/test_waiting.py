"""A claim that waits is answered as soon as there is something to claim."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentsquad.schemas.members import MemberEdit, PauseNew
from agentsquad.schemas.tasks import BlockNew, CancelNew, Claims, CompleteNew, RejectNew, ReleaseNew, TaskEdit, TaskNew
from backend.core.database import Database
from backend.live import waiting
from backend.live.feed import Feed
from backend.operations import members, squads, tasks
from backend.operations.access import Actor
from tests.campaigns.crew import Team, found, until
from tests.live.stage import PATIENCE, feeding

LONG = 40.0  # seconds that a claim waits which isn't expected to wait so long


@dataclass
class Waiter:
    """Somebody who waits for work, and whether it is still there."""

    feed: Feed
    team: Team
    actor: Actor
    there: bool = True
    tries: list[str | None] = field(default_factory=list)

    async def claim(self, seconds: float = LONG) -> list[str]:
        """The handles of what it gets."""

        async def attempt() -> str | None:
            database = self.feed.database
            self.tries.append(await database.transact(tasks.claim, self.actor, self.team.squad, None, 1))
            return self.tries[-1]

        async def there() -> bool:
            return self.there

        claimed = await waiting.claim(self.feed, self.actor, self.team.squad, attempt, there, seconds)
        return [] if claimed is None else [item.claim for item in Claims.model_validate_json(claimed).items]


class Hand:
    """Whoever does, in one server process, what may give others something to do."""

    def __init__(self, database: Database, team: Team) -> None:
        self._database = database
        self.team = team

    async def do(self, operation: Callable[..., Awaitable[Any]], *given: object, by: Actor | None = None) -> Any:
        """Run an operation."""
        return await self._database.transact(operation, by or self.team.owner, self.team.squad, *given)

    async def create(self, *new: TaskNew) -> None:
        """Make tasks."""
        await self.do(tasks.create, list(new) or [TaskNew(title="x")])

    async def hold(self, number: int, by: Actor | None = None) -> None:
        """Claim a task."""
        await self.do(tasks.claim, number, 1, by=by)


Step = Callable[[Hand], Awaitable[Any]]


async def created(_before: Hand) -> Step:
    return lambda hand: hand.create()


async def unblocked(before: Hand) -> Step:
    await before.create(TaskNew(title="one", key="one"), TaskNew(title="two", depends_on=["one"]))
    await before.hold(1)
    return lambda hand: hand.do(tasks.complete, 1, CompleteNew(claim="1/1"))


async def released(before: Hand) -> Step:
    await before.create()
    await before.hold(1)
    return lambda hand: hand.do(tasks.release, 1, ReleaseNew(claim="1/1"))


async def rejected(before: Hand) -> Step:
    waiter = before.team.members[0]
    await before.create(TaskNew(title="x", review="tester"))
    await before.hold(1, by=waiter)
    await before.do(tasks.complete, 1, CompleteNew(claim="1/1"), by=waiter)
    await before.do(members.update, "owner", MemberEdit(role="tester"))
    await before.hold(1)
    return lambda hand: hand.do(tasks.reject, 1, RejectNew(claim="1/2", note="no"))


async def to_be_reviewed(before: Hand) -> Step:
    await before.do(members.update, "m0", MemberEdit(role="tester"))
    await before.create(TaskNew(title="x", review="tester"))
    await before.hold(1)
    return lambda hand: hand.do(tasks.complete, 1, CompleteNew(claim="1/1"))


async def retried(before: Hand) -> Step:
    await before.create()
    await before.do(tasks.cancel, 1, CancelNew())
    return lambda hand: hand.do(tasks.retry, 1)


async def resumed(before: Hand) -> Step:
    await before.create()
    await before.do(tasks.block, 1, BlockNew(reason="x"))
    return lambda hand: hand.do(tasks.resume, 1)


async def given_a_role(before: Hand) -> Step:
    await before.create(TaskNew(title="x", role="tester"))
    return lambda hand: hand.do(members.update, "m0", MemberEdit(role="tester"))


async def given_its_role(before: Hand) -> Step:
    await before.create(TaskNew(title="x", role="tester"))
    return lambda hand: hand.do(tasks.update, 1, TaskEdit(role=""))


async def member_resumed(before: Hand) -> Step:
    await before.create()
    await before.do(members.pause, "m0", PauseNew())
    return lambda hand: hand.do(members.resume, "m0")


async def squad_resumed(before: Hand) -> Step:
    await before.create()
    await before.do(squads.pause, PauseNew())
    return lambda hand: hand.do(squads.resume)


WAYS = (
    created, unblocked, released, rejected, to_be_reviewed, retried, resumed, given_a_role, given_its_role,
    member_resumed, squad_resumed,
)  # fmt: skip


@pytest.fixture
async def team(database: Database) -> Team:
    return await found(database, 6, lease_seconds=60)


@pytest.fixture
async def feed(database: Database) -> AsyncIterator[Feed]:
    async with feeding(database) as feed:
        yield feed


async def asleep(*waiters: Waiter) -> None:
    """Until all of them have tried and now wait."""
    await until(lambda: all(waiter.tries for waiter in waiters), PATIENCE)
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("way", WAYS)
async def test_whatever_frees_a_task_ends_the_wait(
    database: Database, other: Database, feed: Feed, team: Team, *, way: Callable[[Hand], Awaitable[Step]],
    elsewhere: bool,
) -> None:  # fmt: skip
    free = await way(Hand(database, team))
    waiter = Waiter(feed, team, team.members[0])
    claiming = asyncio.create_task(waiter.claim())
    await asleep(waiter)
    async with feeding(other):
        await free(Hand(other if elsewhere else database, team))
        async with asyncio.timeout(PATIENCE):
            assert len(await claiming) == 1


async def test_what_is_there_already_is_claimed_at_once(database: Database, feed: Feed, team: Team) -> None:
    await Hand(database, team).create()
    assert await Waiter(feed, team, team.members[0]).claim() == ["1/1"]
    assert await Waiter(feed, team, team.members[0]).claim(0) == []


async def test_of_many_who_wait_one_gets_the_task_and_the_others_wait_on(
    database: Database, feed: Feed, team: Team
) -> None:
    waiters = [Waiter(feed, team, member) for member in team.members]
    claiming = {asyncio.create_task(waiter.claim()) for waiter in waiters}
    await asleep(*waiters)
    hand = Hand(database, team)
    for number in range(1, len(waiters) + 1):
        await hand.create()
        async with asyncio.timeout(PATIENCE):
            done, claiming = await asyncio.wait(claiming, return_when=asyncio.FIRST_COMPLETED)
        assert [await each for each in done] == [[f"{number}/1"]]
        if claiming:
            more, claiming = await asyncio.wait(claiming, timeout=0.2)
            assert not more
    assert [len([got for got in waiter.tries if got]) for waiter in waiters] == [1] * len(waiters)


async def test_what_frees_nothing_wakes_nobody(database: Database, feed: Feed, team: Team) -> None:
    waiter = Waiter(feed, team, team.members[0])
    claiming = asyncio.create_task(waiter.claim())
    await asleep(waiter)
    hand = Hand(database, team)
    await hand.create(TaskNew(title="x", assignee="owner"))
    await hand.hold(1)
    await hand.do(tasks.complete, 1, CompleteNew(claim="1/1"))
    await asyncio.sleep(0.5)
    assert waiter.tries == [None]  # it locked the squad once, and looked afterwards
    await hand.create()
    assert await claiming == ["2/1"]


async def test_when_the_time_is_over_there_is_nothing(feed: Feed, team: Team) -> None:
    clock = asyncio.get_running_loop().time
    begun = clock()
    assert await Waiter(feed, team, team.members[0]).claim(0.5) == []
    assert clock() >= begun + 0.5
    assert feed._channels == {}


async def test_who_has_left_gets_no_task(database: Database, feed: Feed, team: Team) -> None:
    gone, stays = (Waiter(feed, team, member) for member in team.members[:2])
    claiming = asyncio.create_task(gone.claim())
    await asleep(gone)
    gone.there = False
    await Hand(database, team).create()
    async with asyncio.timeout(PATIENCE):
        assert await claiming == []
    assert gone.tries == [None]
    assert await stays.claim() == ["1/1"]


async def test_a_wait_that_nobody_waits_for_ends_by_itself(
    feed: Feed, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "CHECK", 0.2)
    gone = Waiter(feed, team, team.members[0])
    claiming = asyncio.create_task(gone.claim(3600))
    await asleep(gone)
    gone.there = False
    async with asyncio.timeout(PATIENCE):
        assert await claiming == []


async def test_at_the_process_s_end_waits_are_over(feed: Feed, team: Team) -> None:
    waiter = Waiter(feed, team, team.members[0])
    claiming = asyncio.create_task(waiter.claim(3600))
    await asleep(waiter)
    feed.end()
    async with asyncio.timeout(PATIENCE):
        assert await claiming == []
    assert await waiter.claim(3600) == []
