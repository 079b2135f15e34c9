"""Server-sent events: one stream per follower, which holds no connection to the database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from fastapi.responses import StreamingResponse

from backend.live.feed import Channel, Feed, Follower, Told
from backend.live.speech import Said
from backend.live.waiting import CHECK

SILENCE: Final = 15.0  # seconds without an event until the stream says that it lives
RETRY: Final = b"retry: 1000\n\n"  # milliseconds until a browser comes back, said when the server stops
COMMENT: Final = b":\n\n"
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def whole(events: list[Told]) -> bytes:
    """Every event, each made once for all who get it."""
    return b"".join(map(_frame, events))


def response(
    feed: Feed,
    squad: Any,
    follow: Callable[[Channel], Follower],
    there: Callable[[], Awaitable[bool]],
    wire: Callable[[list[Told]], bytes] = whole,
    alive: bytes = COMMENT,
) -> StreamingResponse:
    """The feed of a squad, from a follower's position on, as long as its caller is known and the server runs.

    Args:
        feed: the process's feed.
        squad: which one, as the feed knows it; once the answer has begun nobody can be refused.
        follow: makes the follower of the squad's channel.
        there: whether the caller is still known.
        wire: what is said of events that came together.
        alive: what is said when there are none for a while.
    """
    return StreamingResponse(_frames(feed, squad, follow, there, wire, alive), 200, HEADERS, "text/event-stream")


async def _frames(
    feed: Feed,
    squad: Any,
    follow: Callable[[Channel], Follower],
    there: Callable[[], Awaitable[bool]],
    wire: Callable[[list[Told]], bytes],
    alive: bytes,
) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    async with feed.channel(squad) as channel:
        follower = follow(channel)
        yield COMMENT  # so that the caller sees at once that it is connected
        said = checked = clock()
        while not feed.ending:
            told = await follower.next(max(0.0, min(said + SILENCE, checked + CHECK) - clock()))
            text = follower.said()
            if told or text:
                yield (wire(told) if told else b"") + b"".join(map(_text, text))
                said = clock()
            elif clock() >= said + SILENCE:
                yield alive
                said = clock()
            if clock() >= checked + CHECK:
                if not await there():
                    return
                checked = clock()
        yield RETRY


def _frame(told: Told) -> bytes:
    if told.wire is None:
        told.wire = f"id: {told.position}\nevent: {told.kind}\ndata: {told.text}\n\n".encode()
    return told.wire


def _text(said: Said) -> bytes:
    """A frame without an id: who comes back says where it was in the log, and text has no place there."""
    if said.wire is None:
        said.wire = f"event: step.text\ndata: {said.text}\n\n".encode()
    return said.wire
