"""Thousands of followers in one process: each a bare socket, of which only positions are kept, and when they came."""

import asyncio
import json
import math
import re
import resource
import time
from array import array
from pathlib import Path
from urllib.parse import urlsplit

from tests.campaigns.crew import Journal
from tests.campaigns.following import end_of
from tests.campaigns.serving import Place

AT_ONCE = 50  # that connect at the same time
SPARE = 500  # open files besides the sockets
ID = re.compile(rb"^id: (\d+)\n", re.MULTILINE)  # a frame may be the first that came


def room_for(sockets: int) -> int:
    """Let this process, and those that it starts, open so many; answers for how many there is room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sockets + SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return sockets if soft == resource.RLIM_INFINITY else min(sockets, soft - SPARE)


class Ear(asyncio.Protocol):
    """One connection to a feed. What came whole is kept; the head of the answer goes to `begun`."""

    def __init__(self, positions: "array[int]", times: "array[float]") -> None:
        self.begun: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self._positions = positions
        self._times = times
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Keep the positions of all events that are whole."""
        if not self.begun.done():
            self.begun.set_result(data)
        whole, end, rest = (self._rest + data).rpartition(b"\n\n")
        self._rest = rest
        found = [int(position) for position in ID.findall(whole + end)]
        if found:
            self._positions.extend(found)
            self._times.extend([time.time()] * len(found))

    def connection_lost(self, _error: Exception | None) -> None:
        """The follower comes again."""
        if not self.begun.done():
            self.begun.set_result(b"")
        self.ended.set()


class Listener:
    """A follower that stays until it is cancelled, and resumes whenever its connection has ended."""

    def __init__(self, place: Place, turn: asyncio.Semaphore) -> None:
        self.positions: array[int] = array("q")
        self.times: array[float] = array("d")
        self.streams = 0
        self._place = place
        self._turn = turn

    async def listen(self) -> None:
        """Follow from the beginning."""
        address = urlsplit(self._place.urls[0])
        assert address.hostname is not None
        assert address.port is not None
        host, port = address.hostname, address.port
        loop = asyncio.get_running_loop()
        while True:
            transport = None
            try:
                async with self._turn:
                    transport, ear = await loop.create_connection(lambda: Ear(self.positions, self.times), host, port)
                    last = self.positions[-1] if self.positions else 0
                    transport.write(
                        f"GET /squads/{self._place.squad}/events/stream HTTP/1.1\r\nHost: {address.netloc}\r\n"
                        f"Authorization: Bearer {self._place.key}\r\nLast-Event-ID: {last}\r\n\r\n".encode()
                    )
                    head = await ear.begun
                if b" 200 " in head:
                    self.streams += 1
                    await ear.ended.wait()
                await asyncio.sleep(0.2)
            except OSError:
                await asyncio.sleep(0.2)
            finally:
                if transport is not None:
                    transport.abort()


def written_at(path: Path) -> dict[int, float]:
    """When each event was written."""
    return {int(position): at for position, at in json.loads(path.read_text()).items()}


async def gather(journal: Journal, place: Place, amount: int, end: Path, times: Path, seconds: float) -> None:
    """Follow with that many until all have reached the end; then say what each has seen, and how late.

    Args:
        journal: where it is said.
        place: the squad.
        amount: how many.
        end: where the last position is announced.
        times: when each event was written, from the first of them that counts.
        seconds: how long to wait at most, once the end is known.
    """
    assert room_for(amount) >= amount
    turn = asyncio.Semaphore(AT_ONCE)
    listeners = [Listener(place, turn) for _ in range(amount)]
    listening = [asyncio.create_task(listener.listen()) for listener in listeners]
    connected, due = False, math.inf
    while time.monotonic() < due:
        await asyncio.sleep(0.2)
        if not connected and all(listener.streams for listener in listeners):
            connected = True
            journal.note("connected")
        last = end_of(end)
        if due == math.inf and last < math.inf:
            due = time.monotonic() + seconds
        if all(listener.positions and listener.positions[-1] >= last for listener in listeners):
            break
    for task in listening:
        task.cancel()
    await asyncio.wait(listening)
    written = written_at(times)
    for listener in listeners:
        journal.note("seen", positions=list(listener.positions), streams=listener.streams)
    waits = sorted(
        at - written[position]
        for listener in listeners
        for position, at in zip(listener.positions, listener.times, strict=True)
        if position in written
    )
    if waits:
        most = len(waits)
        journal.note("waits", p50=waits[most // 2], p99=waits[most * 99 // 100], most=waits[-1], of=most)
