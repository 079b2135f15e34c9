"""Running a command in a process group of its own, of which nothing is left afterwards."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from agentsquad.schemas import limits

GRACE: Final = 10.0  # seconds between SIGTERM and SIGKILL
DRAIN: Final = 0.5  # seconds in which output may still arrive after the command has ended
LOOK: Final = 0.05  # seconds between two looks at a group that was asked to end
TAIL: Final = 4096  # bytes of stderr that are kept
KEPT: Final = 8 * limits.TEXT  # bytes of stdout that are kept: JSON may be printed longer than it counts


@dataclass(frozen=True)
class Outcome:
    """What became of a command.

    Args:
        code: its exit code; 124 when it took too long, 127 when it couldn't be started.
        out: what it printed; one byte more than `KEPT` when that was too much.
        err: the end of its standard error.
    """

    code: int
    out: bytes
    err: bytes


class _Output(asyncio.SubprocessProtocol):
    """What a command prints, as far as it is kept, and when it has ended.

    `Process.wait()` would do for neither: it waits for the end of file too, which a child may hold back.
    """

    def __init__(self) -> None:
        self.out = bytearray()
        self.err = bytearray()
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep the beginning of stdout and the end of stderr, which goes to our own stderr too."""
        if fd == 1:
            self.out += data[: KEPT + 1 - len(self.out)]
        else:
            sys.stderr.buffer.write(data)
            sys.stderr.flush()
            self.err += data
            del self.err[:-TAIL]

    def process_exited(self) -> None:
        """The command itself has ended; its children may go on."""
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the protocol's signature)
        """It has ended, and all that held its pipes."""
        self.closed.set()


async def run(
    command: Sequence[str], environment: Mapping[str, str], stdin: bytes = b"", timeout: float | None = None
) -> Outcome:
    """Run a command until it ends, and end what it has left in its process group.

    Cancelling it ends the whole group; cancelling it again does so at once.
    """
    loop = asyncio.get_running_loop()
    starting = asyncio.ensure_future(loop.subprocess_exec(_Output, *command, env=environment, start_new_session=True))
    cancelled = await _done(starting)
    try:
        transport, output = starting.result()
    except OSError as error:
        return Outcome(127, b"", f"{command[0]}: {error.strerror}".encode(errors="replace"))
    pipe = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
    try:
        if cancelled is not None:
            raise cancelled
        pipe.write(stdin)
        pipe.close()
        async with asyncio.timeout(timeout):
            await output.exited.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await output.closed.wait()
        return Outcome(transport.get_returncode() or 0, bytes(output.out), bytes(output.err))
    except TimeoutError:
        return Outcome(124, b"", f"It took longer than {timeout} s.".encode())
    finally:
        try:
            await _end(transport.get_pid(), output)
        finally:
            if pipe.get_write_buffer_size():
                pipe.abort()  # else it waits for a reader that outlives its group
            transport.close()


async def _done(starting: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait for a start, and answer whether that was cancelled: asyncio's own would then wait for ever."""
    cancelled = None
    while not starting.done():
        try:
            await asyncio.wait({starting})
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


async def _end(group: int, output: _Output) -> None:
    """SIGTERM to what is left of a group; SIGKILL after a while, or at once when this is cancelled."""
    try:
        if _alive(group):
            _send(group, signal.SIGTERM)
        for _ in range(round(GRACE / LOOK)):
            if not _alive(group):
                break
            await asyncio.sleep(LOOK)
    finally:
        _send(group, signal.SIGKILL)
        await output.exited.wait()


def _send(group: int, number: int) -> bool:
    """Signal a group. Answers whether there was anything to take it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _alive(group: int) -> bool:
    """Whether anything of a group still runs. A zombie takes signals, but counts for nothing.

    Where there is no /proc to tell a zombie by, everything that takes a signal runs.
    """
    if not _send(group, 0):
        return False
    processes = list(Path("/proc").glob("[0-9]*/stat"))
    return not processes or any(_runs_in(group, process) for process in processes)


def _runs_in(group: int, process: Path) -> bool:
    try:
        # The name, in brackets, may hold anything; behind it come state, parent and group.
        state, _, its_group = process.read_bytes().rpartition(b")")[2].split()[:3]
    except (OSError, ValueError):
        return False  # it has just ended
    return int(its_group) == group and state not in {b"Z", b"X"}
