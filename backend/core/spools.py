"""A temporary file for what is too large for memory; writing and reading it is not in the event loop's way."""

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final

from backend.core.errors import Overloaded

CHUNK: Final = 1 << 20  # bytes that are written or read at once
AT_ONCE: Final = 8  # files of one process; each may be large, and its caller slow


class Spool:
    """Bytes that are written once and then read; as text it is their digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = 0
        self._waiting = bytearray()
        self._digest = hashlib.sha256()

    def __str__(self) -> str:
        """The SHA-256 of all that was written."""
        return self._digest.hexdigest()

    async def write(self, data: bytes) -> None:
        """Append; it goes to the file in large pieces."""
        self._digest.update(data)
        self.size += len(data)
        self._waiting += data
        if len(self._waiting) >= CHUNK:
            await self._flush()

    async def clear(self) -> None:
        """Forget everything: whoever writes begins again."""
        self._waiting.clear()
        self._digest = hashlib.sha256()
        self.size = 0
        await asyncio.to_thread(self._empty)

    async def rewind(self) -> None:
        """Read from the beginning."""
        await self._flush()
        await asyncio.to_thread(self.file.seek, 0)

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of it, piece by piece."""
        await self.rewind()
        while chunk := await asyncio.to_thread(self.file.read, CHUNK):
            yield chunk

    async def _flush(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        try:
            await asyncio.to_thread(self._append, data)
        except OSError as error:
            raise Overloaded(
                f"The server has no room for the file ({error.strerror}); make some, and try again."
            ) from error

    def _append(self, data: bytes) -> None:
        self.file.write(data)
        self.file.flush()  # here a full disk is noticed, and nowhere later

    def _empty(self) -> None:
        self.file.seek(0)
        self.file.truncate()


class Spools:
    """The spools of one process.

    Args:
        folder: where they lie.
        most: how many there are at the same time.
    """

    def __init__(self, folder: Path, most: int = AT_ONCE) -> None:
        self._folder = folder
        self._free = most

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[Spool]:
        """A spool that is gone after the block, also when the process dies in it.

        Raises:
            Overloaded: there are as many as there may be, or there is no place for it.
        """
        if not self._free:
            raise Overloaded("The server has as many files as it can work on; try again in a few seconds.")
        self._free -= 1
        try:
            file = await asyncio.to_thread(self._temporary)
            try:
                yield Spool(file)
            finally:
                with contextlib.suppress(OSError):  # what can't be written any more is not wanted any more
                    file.close()
        finally:
            self._free += 1

    def _temporary(self) -> IO[bytes]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=self._folder)
        except OSError as error:
            raise Overloaded(
                f"The server can't keep the file ({error.strerror}); let its owner see to the folder SQUAD_HOME."
            ) from error
