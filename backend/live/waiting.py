"""Long polls: whoever waits until there is something to claim, or anything new. They hold no connection meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from backend.core.errors import Overloaded
from backend.live.feed import Channel, Feed
from backend.operations import messages, tasks
from backend.operations.access import ME, Actor, MemberRef, SquadRef

BUSY: Final = 0.1  # seconds until a waiting claim tries again when the database was busy
T = TypeVar("T")
CHECK: Final = 5.0  # seconds between two looks whether the caller is still there, and still known


@dataclass(frozen=True, slots=True)
class News:
    """What there is for a member.

    Args:
        work: whether it could claim something.
        mail: whether there is a message.
    """

    work: bool
    mail: bool


async def claim(
    feed: Feed,
    actor: Actor,
    squad: SquadRef,
    attempt: Callable[[], Awaitable[str | None]],
    there: Callable[[], Awaitable[bool]],
    seconds: float,
) -> str | None:
    """Claim as soon as something can be claimed; None when the time is over, or nobody waits any more.

    Args:
        feed: the process's feed.
        actor: who claims.
        squad: where.
        attempt: tries to claim, and answers None if there is nothing.
        there: whether the caller is still there, and still known: nobody gets a task who has left.
        seconds: how long to wait at most.

    Raises:
        NotFound: no such squad.
    """

    async def careful() -> str | None:
        """One after another, with a look first that locks nothing: for most who were woken nothing is left."""
        async with channel.claiming:
            if await feed.database.reads.row(tasks.claimable, actor, squad) is None or not await there():
                return None
            return await attempt()

    claimed = await attempt()
    if claimed is not None or not seconds:
        return claimed
    async with feed.channel(await feed.require(actor, squad)) as channel:
        return await _until(feed, channel, careful, there, seconds, lambda: channel.freed)


async def news(
    feed: Feed,
    actor: Actor,
    squad: SquadRef,
    there: Callable[[], Awaitable[bool]],
    seconds: float,
    *,
    work: bool = True,
    after: int = 0,
) -> News:
    """What there is for a member, as soon as there is something; nothing, when the time is over or nobody waits.

    Args:
        feed: the process's feed.
        actor: the member.
        squad: where.
        there: whether the caller is still there, and still known.
        seconds: how long to wait at most.
        work: whether something to claim counts.
        after: behind which position a message counts.

    Raises:
        NotFound: no such squad.
    """
    reads = feed.database.reads
    newest = messages.inbox("unread")

    async def look() -> News | None:
        there_is = work and await reads.row(tasks.claimable, actor, squad) is not None
        inbox = await reads.row(newest, actor, squad, MemberRef(None, ME), after, 1)
        mail = inbox is not None and inbox["next"] is not None  # a page of one that is full
        return News(there_is, mail) if there_is or mail else None

    async with feed.channel(await feed.require(actor, squad)) as channel:
        found = await _until(feed, channel, look, there, seconds, lambda: max(channel.freed, channel.sent))
    return found or News(False, False)


async def _until(
    feed: Feed,
    channel: Channel,
    look: Callable[[], Awaitable[T | None]],
    there: Callable[[], Awaitable[bool]],
    seconds: float,
    moved: Callable[[], int],
) -> T | None:
    """Look whenever the log has moved, until there is something."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    found: T | None = None
    seen = -1  # what was written before the following began may have been something
    while not feed.ending:
        if moved() > seen:
            seen = moved()
            try:
                found = await look()
            except Overloaded:
                seen = -1  # it may still be there
                await asyncio.sleep(BUSY)
        if found is not None or loop.time() >= ends or not await there():
            return found
        checked = loop.time() + CHECK
        while moved() <= seen and loop.time() < min(ends, checked) and not feed.ending:
            await channel.wait(min(ends, checked) - loop.time())
    return None
