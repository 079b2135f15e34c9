"""Reading server-sent events as they come."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson

from agentsquad.schemas.steps import StepText

PATIENCE = 20.0  # seconds in which everything here happens many times over
HELLO = ":"


class Stream:
    """An answer that goes on, block by block."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._text = ""
        self._chunks = answer.aiter_text()

    async def block(self) -> str:
        """The next lines up to an empty one; "" when the stream has ended."""
        async with asyncio.timeout(PATIENCE):
            while "\n\n" not in self._text:
                try:
                    self._text += await anext(self._chunks)
                except StopAsyncIteration:
                    assert self._text == ""
                    return ""
        block, _, self._text = self._text.partition("\n\n")
        return block

    async def event(self) -> dict[str, Any]:
        """The next event; its lines are exactly these three."""
        while (block := await self.block()) == HELLO:
            continue
        (identity, kind, data) = block.split("\n")
        event: dict[str, Any] = orjson.loads(data.removeprefix("data: "))
        assert [identity, kind, data[:6]] == [f"id: {event['position']}", f"event: {event['kind']}", "data: "]
        return event

    async def events(self, up_to: int) -> list[dict[str, Any]]:
        """Events, until a position has come."""
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1]["position"] < up_to:
            seen.append(await self.event())
        return seen

    async def text(self) -> StepText:
        """The next piece of text; its lines are exactly these two."""
        while (block := await self.block()) == HELLO:
            continue
        (kind, data) = block.split("\n")
        assert (kind, data[:6]) == ("event: step.text", "data: ")
        return StepText.model_validate_json(data.removeprefix("data: "))

    async def rest(self) -> list[str]:
        """All blocks until the end."""
        blocks = []
        while block := await self.block():
            blocks.append(block)
        return blocks


@asynccontextmanager
async def stream(
    client: httpx.AsyncClient, query: str = "", *, squad: str = "", **headers: str
) -> AsyncIterator[Stream]:
    """A squad's feed; it has begun."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with contextlib.aclosing(
        await client.send(client.build_request("GET", f"{squad}/events/stream{query}", headers=named), stream=True)
    ) as answer:
        assert answer.status_code == 200, await answer.aread()
        opened = Stream(answer)
        assert await opened.block() == HELLO
        yield opened
