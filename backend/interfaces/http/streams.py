"""Server-sent events: one stream per follower, which holds no connection to the database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from fastapi.responses import StreamingResponse

from backend.live.feed import Channel, Feed, Follower, Told
from backend.live.waiting import CHECK

SILENCE: Final = 15.0  # seconds without an event until a comment line says that the stream lives
RETRY: Final = b"retry: 1000\n\n"  # milliseconds until a browser comes back, said when the server stops
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def response(
    feed: Feed,
    squad: Any,
    follow: Callable[[Channel], Follower],
    there: Callable[[], Awaitable[bool]],
) -> StreamingResponse:
    """The feed of a squad, from a follower's position on, as long as its caller is known and the server runs.

    Args:
        feed: the process's feed.
        squad: which one, as the feed knows it; once the answer has begun nobody can be refused.
        follow: makes the follower of the squad's channel.
        there: whether the caller is still known.
    """
    return StreamingResponse(_frames(feed, squad, follow, there), 200, HEADERS, "text/event-stream")


async def _frames(
    feed: Feed,
    squad: Any,
    follow: Callable[[Channel], Follower],
    there: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    async with feed.channel(squad) as channel:
        follower = follow(channel)
        yield b":\n\n"  # so that the caller sees at once that it is connected
        said = checked = clock()
        while not feed.ending:
            told = await follower.next(max(0.0, min(said + SILENCE, checked + CHECK) - clock()))
            if told:
                yield b"".join(map(_frame, told))
                said = clock()
            elif clock() >= said + SILENCE:
                yield b":\n\n"
                said = clock()
            if clock() >= checked + CHECK:
                if not await there():
                    return
                checked = clock()
        yield RETRY


def _frame(told: Told) -> bytes:
    """An event on the wire, made once for all who get it."""
    if told.wire is None:
        told.wire = f"id: {told.position}\nevent: {told.kind}\ndata: {told.text}\n\n".encode()
    return told.wire
