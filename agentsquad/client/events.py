"""The log, and the following of it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import httpx
from httpx_sse import EventSource
from pydantic import BaseModel, TypeAdapter, ValidationError

from agentsquad.client.errors import Unreachable, refusal
from agentsquad.client.wire import PAUSES, Wire
from agentsquad.schemas import limits
from agentsquad.schemas.events import Event, Events

SILENCE: Final = 40.0  # seconds without a line until a stream is given up; the server says something every 15
EVENT: Final[TypeAdapter[Event]] = TypeAdapter(Event)


class _Page(BaseModel):
    """A page of the log, as it comes from a server of any version."""

    items: list[dict[str, Any]]
    last: int


class EventCalls(Wire):
    """What is asked of the log. Kinds of event that only a newer server knows are left out."""

    async def events(
        self, after: int = 0, *, limit: int = limits.PAGE_MAX, task: int | None = None, kinds: Sequence[str] = ()
    ) -> Events:
        """The events behind a position; read on after `last`."""
        path = await self._path("events")
        query = {"after": after, "limit": limit, "task": task, "kind": list(kinds)}
        page = await self._ask(_Page, "GET", path, query=query)
        found = [self._event(item) for item in page.items]
        return Events(items=[event for event in found if event is not None], last=page.last)

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
                async with aclosing(self._stream(path, {**query, "kind": list(kinds), "after": after})) as frames:
                    async for position, data in frames:
                        after, failed = position, 0
                        event = self._event(data)
                        if event is not None:
                            yield event
            except (httpx.TransportError, Unreachable):
                failed += 1
            await asyncio.sleep(PAUSES[min(failed, len(PAUSES) - 1)])

    async def _stream(self, path: str, query: dict[str, object]) -> AsyncGenerator[tuple[int, str]]:
        """Positions and events of one connection."""
        timeout = httpx.Timeout(self.timeout, read=SILENCE)
        async with self._http.stream("GET", path, params=query, timeout=timeout) as answer:  # type: ignore[arg-type]
            if not answer.is_success:
                await answer.aread()
                raise refusal(answer)
            async with aclosing(EventSource(answer).aiter_sse()) as frames:
                async for frame in frames:
                    if frame.data:
                        yield int(frame.id), frame.data

    def _event(self, data: str | dict[str, Any]) -> Event | None:
        """An event, or None if its kind is unknown here."""
        try:
            return EVENT.validate_json(data) if isinstance(data, str) else EVENT.validate_python(data)
        except ValidationError as error:
            if error.errors(include_url=False)[0]["type"] == "union_tag_invalid":
                return None
            raise self._foreign() from error
