"""The log, and the following of it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final, Literal, overload

import httpx
from httpx_sse import EventSource, ServerSentEvent
from pydantic import BaseModel, TypeAdapter, ValidationError

from agentsquad.client.errors import Unreachable, refusal
from agentsquad.client.wire import PAUSES, Wire
from agentsquad.schemas import limits
from agentsquad.schemas.events import Event, Events
from agentsquad.schemas.steps import StepText

SILENCE: Final = 40.0  # seconds without a line until a stream is given up; the server says something every 15
TEXT: Final = "step.text"
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

    @overload
    def feed(
        self, after: int = 0, *, task: int | None = None, kinds: Sequence[str] = (), text: Literal[False] = False
    ) -> AsyncGenerator[Event]: ...

    @overload
    def feed(
        self, after: int = 0, *, task: int | None = None, kinds: Sequence[str] = (), text: bool
    ) -> AsyncGenerator[Event | StepText]: ...

    async def feed(
        self, after: int = 0, *, task: int | None = None, kinds: Sequence[str] = (), text: bool = False
    ) -> AsyncGenerator[Event | StepText]:
        """The events behind a position, and each that comes, without an end.

        It goes on by itself where it was when the connection breaks or the server is started again, however long
        that takes; no event is missed, and none comes twice.

        Args:
            after: the position.
            task: only events of this task.
            kinds: only events of these kinds.
            text: also what models say just now, whatever the kinds; some of that may be missing.
        """
        path = await self._path("events", "stream")
        query: dict[str, object] = {"kind": list(kinds)}
        query |= {"task": task} if task is not None else {}
        query |= {"text": True} if text else {}
        failed = 0
        while True:
            try:
                async with aclosing(self._stream(path, {**query, "after": after})) as frames:
                    async for frame in frames:
                        failed = 0
                        if frame.event == TEXT:
                            yield self._text(frame.data)
                            continue
                        after = int(frame.id)
                        event = self._event(frame.data)
                        if event is not None:
                            yield event
            except (httpx.TransportError, Unreachable):
                failed += 1
            await asyncio.sleep(PAUSES[min(failed, len(PAUSES) - 1)])

    async def _stream(self, path: str, query: dict[str, object]) -> AsyncGenerator[ServerSentEvent]:
        """What comes over one connection."""
        timeout = httpx.Timeout(self.timeout, read=SILENCE)
        async with self._http.stream("GET", path, params=query, timeout=timeout) as answer:  # type: ignore[arg-type]
            if not answer.is_success:
                await answer.aread()
                raise refusal(answer)
            async with aclosing(EventSource(answer).aiter_sse()) as frames:
                async for frame in frames:
                    if frame.data:
                        yield frame

    def _text(self, data: str) -> StepText:
        try:
            return StepText.model_validate_json(data)
        except ValidationError as error:
            raise self._foreign() from error

    def _event(self, data: str | dict[str, Any]) -> Event | None:
        """An event, or None if its kind is unknown here."""
        try:
            return EVENT.validate_json(data) if isinstance(data, str) else EVENT.validate_python(data)
        except ValidationError as error:
            if error.errors(include_url=False)[0]["type"] == "union_tag_invalid":
                return None
            raise self._foreign() from error
