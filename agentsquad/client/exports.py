"""A squad as a file: taken out, and brought in."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import anyio
import httpx

from agentsquad.client.errors import refusal
from agentsquad.client.wire import Wire
from agentsquad.schemas.exports import Imported

CHUNK: Final = 256 * 1024  # bytes


class ExportCalls(Wire):
    """What is asked of squads as files. Neither is repeated when it breaks off."""

    async def export_squad(self) -> AsyncIterator[bytes]:
        """The squad as JSON lines, log and all, piece by piece. The last line tells whether they are all there."""
        try:
            async with self._http.stream("GET", await self._path("export")) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise refusal(answer)
                async for chunk in answer.aiter_bytes(CHUNK):
                    yield chunk
        except httpx.TransportError as error:
            raise self._silent(error) from error

    async def import_squad(self, file: Path, *, name: str | None = None) -> Imported:
        """Make a squad of one's own of what an export answered: all of it, or nothing.

        Args:
            file: the JSON lines.
            name: what it is called here; by default as there.
        """

        async def chunks() -> AsyncIterator[bytes]:
            async with await anyio.open_file(file, "rb") as lines:
                while chunk := await lines.read(CHUNK):
                    yield chunk

        query = {"name": name} if name else {}
        headers = {"Content-Type": "application/x-ndjson"}
        try:
            answer = await self._http.post(
                "/squads/import",
                params=query,
                headers=headers,
                content=chunks(),
                timeout=httpx.Timeout(self.timeout, read=None),
            )
        except httpx.TransportError as error:
            raise self._silent(error) from error
        if not answer.is_success:
            raise refusal(answer)
        return self._read(Imported, answer)
