"""The load generator, a process of its own: `python -m benchmarks.load`, driven by `processes.Child`.

Requests are bytes that were made beforehand, connections stay open, and of an answer nothing is read but its
status and its end. Each client waits for its answer before it asks again.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.data import Data
from benchmarks.processes import serve

PATIENCE = 1.2  # seconds until a server that still owes answers after a slice is taken to hang
BLANK = b"\r\n\r\n"


class Tally:
    """What the clients of one slice have seen.

    Args:
        owed: how many clients ask.
    """

    def __init__(self, owed: int) -> None:
        self.owed = owed
        self.settled = asyncio.Event()
        self.counting = False
        self.over = False
        self.counted = 0
        self.total = 0
        self.refused = 0
        self.times: list[float] = []

    def settle(self) -> None:
        """Note that a client asks no more."""
        self.owed -= 1
        if not self.owed:
            self.settled.set()

    async def settled_within(self, seconds: float) -> bool:
        """Wait until every client has its last answer; whether that came in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.settled.wait()
        return self.settled.is_set()

    def add(self, seconds: float, *, good: bool) -> None:
        """Note one answer."""
        self.total += 1
        if not good:
            self.refused += 1
        elif self.counting:
            self.counted += 1
            self.times.append(seconds)


class Client(asyncio.Protocol):
    """One connection that sends its requests in turn."""

    def __init__(self, tally: Tally, requests: Sequence[bytes]) -> None:
        self.tally = tally
        self.requests = requests
        self.turn = 0
        self.held = b""
        self.waiting = False
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Begin when told to."""
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the protocol's signature)
        """The server has closed it; what it still owed won't come."""
        self.transport = None
        if self.waiting:
            self.waiting = False
            self.tally.refused += 1
            self.tally.settle()

    def ask(self) -> None:
        """Send the next request."""
        if self.transport is None:
            self.tally.settle()
            return
        self.waiting = True
        self.started = time.perf_counter()
        self.transport.write(self.requests[self.turn])
        self.turn += 1
        if self.turn == len(self.requests):
            self.turn = 0

    def data_received(self, data: bytes) -> None:
        """Note a complete answer, and ask again."""
        if self.held:
            data = self.held + data
        if not complete(data):
            self.held = data
            return
        self.held = b""
        self.waiting = False
        self.tally.add(time.perf_counter() - self.started, good=data.startswith(b"HTTP/1.1 200"))
        if self.tally.over:
            self.tally.settle()
        else:
            self.ask()


def complete(data: bytes) -> bool:
    """Whether this is a whole answer, by its length or its last chunk."""
    end = data.find(BLANK)
    if end < 0:
        return False
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return data.endswith(b"0\r\n\r\n")
    stop = head.find(b"\r\n", at + 17)
    length = int(head[at + 17 : stop] if stop > 0 else head[at + 17 :])
    return len(data) >= end + 4 + length


async def connected(port: int, tally: Tally, requests: Sequence[Sequence[bytes]], clients: int) -> list[Client]:
    """So many open connections that have not asked yet."""
    loop = asyncio.get_running_loop()
    made: list[Client] = []
    for first in range(0, clients, 64):
        some = range(first, min(first + 64, clients))
        made += [
            client
            for _, client in await asyncio.gather(
                *(
                    loop.create_connection(
                        lambda index=index: Client(tally, requests[index % len(requests)]),  # type: ignore[misc]
                        "127.0.0.1",
                        port,
                    )
                    for index in some
                )
            )
        ]
    return made


async def slice_of(
    port: int, requests: Sequence[Sequence[bytes]], clients: int, warm: float, seconds: float
) -> dict[str, Any]:
    """Ask for some seconds, and wait until every answer has come."""
    tally = Tally(clients)
    made = await connected(port, tally, requests, clients)
    for client in made:
        client.ask()
    await asyncio.sleep(warm)
    start, busy = time.perf_counter(), time.process_time()
    tally.counting = True
    await asyncio.sleep(seconds)
    tally.counting, tally.over = False, True
    took, busy = time.perf_counter() - start, time.process_time() - busy
    hangs = not await tally.settled_within(PATIENCE)
    leave(made)
    times = sorted(tally.times)
    return {
        "rate": tally.counted / took,
        "total": tally.total,
        "refused": tally.refused,
        "hangs": hangs,
        "busy": busy / took,
        "p50": times[len(times) // 2] if times else None,
        "p99": times[len(times) * 99 // 100] if times else None,
    }


async def held(port: int, requests: Sequence[Sequence[bytes]], clients: int, within: float) -> dict[str, Any]:
    """Ask so many at once; how many have their answer within some seconds of the first question."""
    tally = Tally(clients)
    tally.over = tally.counting = True
    made = await connected(port, tally, requests, clients)
    start = time.perf_counter()
    for client in made:
        client.ask()
    await tally.settled_within(within)
    in_time = sum(1 for seconds in tally.times if seconds <= within)
    leave(made)
    return {"answered": in_time, "refused": tally.refused, "seconds": time.perf_counter() - start}


def leave(clients: Sequence[Client]) -> None:
    """Close every connection."""
    for client in clients:
        client.waiting = False
        if client.transport is not None:
            client.transport.abort()


def requests_of(data: Data, path: str) -> list[list[bytes]]:
    """Each client's requests: for its people, with its key."""
    return [
        [
            f"GET {path}{target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {client.key}\r\n\r\n".encode()
            for target in client.targets
        ]
        for client in data.clients
    ]


def main() -> None:
    """Serve: `slice` and `held` ask a server."""
    data = Data.load(Path(os.environ["BENCH_DATA"]))
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    known: dict[str, list[list[bytes]]] = {}

    def handle(do: str, path: str, **more: Any) -> Any:
        requests = known.get(path) or known.setdefault(path, requests_of(data, path))
        return runner.run((slice_of if do == "slice" else held)(requests=requests, **more))

    serve(handle)


if __name__ == "__main__":
    main()
