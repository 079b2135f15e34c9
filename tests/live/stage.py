"""A feed that runs, and those who follow it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg2

from agentsquad.schemas.tasks import TaskNew
from backend.core.database import Database
from backend.live.feed import Feed, Follower, Told
from backend.operations import tasks
from tests.campaigns.crew import Team, until

PATIENCE = 20.0  # seconds in which everything here happens many times over


@asynccontextmanager
async def feeding(database: Database) -> AsyncIterator[Feed]:
    """A feed that runs as long as the block."""
    feed = Feed(database)
    running = asyncio.create_task(feed.run())
    try:
        await until(lambda: database.on_change is not None, PATIENCE)
        yield feed
    finally:
        feed.end()
        running.cancel()
        await asyncio.wait([running])


@asynccontextmanager
async def following(
    feed: Feed, team: Team, position: int = 0, task: int | None = None, kinds: Sequence[str] = ()
) -> AsyncIterator[Follower]:
    """Somebody who follows the team's log as long as the block."""
    async with feed.channel(await feed.require(team.owner, team.squad)) as channel:
        yield Follower(feed, channel, team.owner, team.squad, position, task, frozenset(kinds))


async def write(database: Database, team: Team, amount: int = 1, size: int = 0) -> None:
    """That many events more, in one commit."""
    batch = [TaskNew(title="x", description="x" * size) for _ in range(amount)]
    await database.transact(tasks.create, team.owner, team.squad, batch)


async def read(follower: Follower, up_to: int) -> list[Told]:
    """What a follower gets until a position has come."""
    seen: list[Told] = []
    async with asyncio.timeout(PATIENCE):
        while not seen or seen[-1].position < up_to:
            seen += await follower.next(PATIENCE)
    return seen


async def positions(follower: Follower, up_to: int) -> list[int]:
    """The same, only where they stand."""
    return [told.position for told in await read(follower, up_to)]


def last(url: str, team: Team) -> int:
    """The position of the last event, as the table has it."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT max(position) FROM events WHERE squad_id = %s", (str(team.squad.id),))
        (found,) = cursor.fetchall()[0]
    return int(found)
