"""Standard input and output, line by line, without ever blocking the loop.

Plain threads read and write: to them a pipe, a file and a terminal are all the same, and the process may end while
they wait.
"""

import asyncio
import contextlib
import os
import queue
import select
import threading
from collections.abc import AsyncGenerator
from typing import Final

LONGEST: Final = 4 * 1024 * 1024  # bytes of a line that is taken
CHUNK: Final = 64 * 1024  # bytes that are read at once
LAST: Final = 0.1  # seconds for the last lines
AHEAD: Final = 4  # chunks that are read before somebody takes them


class Splitter:
    """Makes lines of chunks; of one that is too long it keeps nothing but that it came."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._too_long = False

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """The lines that end in this chunk, without their ends; None for one that is too long."""
        *ends, rest = chunk.split(b"\n")
        lines = [self._end(end) for end in ends]
        self._add(rest)
        return lines

    def _add(self, part: bytes) -> None:
        self._too_long = self._too_long or len(self._rest) + len(part) > LONGEST
        if self._too_long:
            self._rest.clear()
        else:
            self._rest += part

    def _end(self, part: bytes) -> bytes | None:
        self._add(part)
        line = None if self._too_long else bytes(self._rest)
        self._rest.clear()
        self._too_long = False
        return line


async def read(file: int) -> AsyncGenerator[bytes | None]:
    """The lines of an open file until its end; None for one that is too long. What no line end follows is no line."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(AHEAD)

    def fetch() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            while True:
                room.acquire()
                chunk = _read(file)
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)
                if not chunk:
                    return

    threading.Thread(target=fetch, name="input", daemon=True).start()
    splitter = Splitter()
    while chunk := await chunks.get():
        for line in splitter.feed(chunk):
            yield line
        room.release()


class Output:
    """Writes lines to an open file, one after the other, each whole."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._lines: queue.SimpleQueue[tuple[bytes, asyncio.Future[None] | None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    async def write(self, line: bytes) -> None:
        """Write a line, and wait until it is written.

        Raises:
            OSError: nobody reads.
        """
        written = self._loop.create_future()
        self._lines.put((line + b"\n", written))
        await written

    def say(self, text: str) -> None:
        """Write a line some time, if anybody reads; nothing in it commands a terminal."""
        plain = "".join(letter if letter.isprintable() else " " for letter in text)
        self._lines.put((plain.encode(errors="replace") + b"\n", None))

    def close(self) -> None:
        """Write nothing more, but for what waits already, unless nobody reads it."""
        self._lines.put(None)
        self._thread.join(LAST)

    def _run(self) -> None:
        error = None
        with contextlib.suppress(RuntimeError):  # the loop has ended
            while (item := self._lines.get()) is not None:
                line, written = item
                error = error or _write(self._file, line)
                if written is not None:
                    self._loop.call_soon_threadsafe(_settle, written, error)


def _settle(written: asyncio.Future[None], error: OSError | None) -> None:
    if written.done():  # whoever waited was cancelled
        return
    if error is None:
        written.set_result(None)
    else:
        written.set_exception(error)


def _read(file: int) -> bytes:
    """What comes next; nothing at the end, however that came about."""
    while True:
        try:
            return os.read(file, CHUNK)
        except BlockingIOError:  # whoever else has it open has made it so
            select.select([file], [], [])
        except OSError:
            return b""


def _write(file: int, line: bytes) -> OSError | None:
    """Write all of it. Answers what hindered it."""
    left = memoryview(line)
    while left:
        try:
            left = left[os.write(file, left) :]
        except BlockingIOError:
            select.select([], [file], [])
        except OSError as error:
            return error
    return None
