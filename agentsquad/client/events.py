"""The log, and the following of it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import httpx
from httpx_sse import EventSource
from pydantic import TypeAdapter

from agentsquad.client.errors import Unreachable, refusal
from agentsquad.client.wire import PAUSES, Wire
from agentsquad.schemas import limits
from agentsquad.schemas.events import Event, Events

SILENCE: Final = 40.0  # seconds without a line until a stream is given up; the server says something every 15
EVENT: Final[TypeAdapter[Event]] = TypeAdapter(Event)


class EventCalls(Wire):
    """What is asked of the log."""

    async def events(
        self, after: int = 0, *, limit: int = limits.PAGE_MAX, task: int | None = None, kinds: Sequence[str] = ()
    ) -> Events:
        """The events behind a position; read on after `last`."""
        path = await self._path("events")
        query = {"after": after, "limit": limit, "task": task, "kind": list(kinds)}
        return await self._ask(Events, "GET", path, query=query)

    async def feed(
        self, after: int = 0, *, task: int | None = None, kinds: Sequence[str] = ()
    ) -> AsyncGenerator[Event]:
        """The events behind a position, and each that comes, without an end.

        It goes on by itself where it was when the connection breaks or the server is started again, however long
        that takes; nothing is missed, and nothing comes twice.
        """
        path = await self._path("events", "stream")
        query = {"task": task} if task is not None else {}
        failed = 0
        while True:
            try:
                async for event in self._stream(path, {**query, "kind": list(kinds), "after": after}):
                    after, failed = event.position, 0
                    yield event
            except (httpx.TransportError, Unreachable):
                failed += 1
            await asyncio.sleep(PAUSES[min(failed, len(PAUSES) - 1)])

    async def _stream(self, path: str, query: dict[str, object]) -> AsyncGenerator[Event]:
        """The events of one connection."""
        timeout = httpx.Timeout(self.timeout, read=SILENCE)
        async with self._http.stream("GET", path, params=query, timeout=timeout) as answer:  # type: ignore[arg-type]
            if not answer.is_success:
                await answer.aread()
                raise refusal(answer)
            async for frame in EventSource(answer).aiter_sse():
                if frame.data:
                    yield EVENT.validate_json(frame.data)
