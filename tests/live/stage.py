"""A feed that runs, and those who follow it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg2

from agentsquad.schemas.steps import StepText
from agentsquad.schemas.tasks import TaskNew
from backend.core.database import Database
from backend.live import doorbell
from backend.live.feed import Feed, Follower, Told
from backend.live.speech import Said
from backend.operations import tasks
from tests.campaigns.crew import Team, until

T = TypeVar("T")
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
    feed: Feed,
    team: Team,
    position: int = 0,
    task: int | None = None,
    kinds: Sequence[str] = (),
    hears: Callable[[Said], bool] | None = None,
) -> AsyncIterator[Follower]:
    """Somebody who follows the team's log as long as the block."""
    async with feed.channel(await feed.require(team.owner, team.squad)) as channel:
        yield Follower(feed, channel, team.owner, team.squad, position, task, frozenset(kinds), hears)


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


def piece(squad_id: UUID | None, text: str, task: int = 1, offset: int = 0, step: int = 1) -> Said:
    """What a member `hal` says in a squad."""
    assert squad_id is not None
    told = StepText(task=task, attempt=1, member="hal", step=step, offset=offset, text=text)
    return Said(squad_id, task, told.model_dump_json())


def pieces(said: Sequence[Said]) -> list[StepText]:
    """What was said, but for the questions of `connected`."""
    return [text for each in said if (text := StepText.model_validate_json(each.text)).step]


def tell(url: str, said: Said) -> None:
    """Say it as any process on this database may."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", (doorbell.SPEECH, said.payload))


async def meanwhile(say: Callable[[], None], answer: Coroutine[Any, Any, T]) -> T:
    """Say something again and again until there is the answer: what nobody hears yet is lost."""
    waiting = asyncio.create_task(answer)
    async with asyncio.timeout(PATIENCE):
        while not waiting.done():
            say()
            await asyncio.wait([waiting], timeout=0.05)
    return await waiting


async def connected(feed: Feed, follower: Follower) -> None:
    """Ask again and again, until this follower hears it: then all bells on the way ring and listen."""
    question = piece(follower._channel.squad_id, f"{uuid4()}", step=0)
    async with asyncio.timeout(PATIENCE):
        while question not in follower.said():
            feed.say(question)
            await follower.next(0.05)
