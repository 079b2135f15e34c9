"""Clients that send one request after another without a pause, each on a bare connection that is kept."""

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.campaigns.crew import Journal
from tests.campaigns.serving import Place

BROKEN = 0  # instead of a status: the connection ended before the answer did


@dataclass
class Tally:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    answered: list[float] = field(default_factory=list)  # seconds
    refused: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # answers that no server of ours may give

    def take(self, status: int, head: bytes, body: bytes, seconds: float) -> None:
        """One more."""
        self.statuses[status] += 1
        if status in (200, 201):
            self.answered.append(seconds)
        elif status == 503:
            self.refused.append(seconds)
            if b"\r\nretry-after: " not in head.lower() or json.loads(body)["code"] != "overloaded":
                self.wrong.append(f"{head!r} {body!r}"[:500])
        else:
            self.wrong.append(f"{head!r} {body!r}"[:500])


class Client:
    """One connection. A mix of reads and writes, as the squad's owner."""

    def __init__(self, place: Place, chance: random.Random, tally: Tally) -> None:
        self._place = place
        self._chance = chance
        self._tally = tally
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def press(self, until: float, every: float) -> None:
        """Send so often, until that time; without a pause if the answers take longer."""
        due = time.monotonic() + self._chance.uniform(0, every)
        for turn in itertools.count():
            await asyncio.sleep(due - time.monotonic())
            if time.time() >= until:
                break
            due = max(due + every, time.monotonic())
            await self._once(turn)
        if self._line is not None:
            self._line[1].close()

    async def _once(self, turn: int) -> None:
        began = time.monotonic()
        status, head, body = BROKEN, b"", b""
        try:
            if self._line is None:
                address = urlsplit(self._place.urls[0])
                self._line = await asyncio.open_connection(address.hostname, address.port)
            reader, writer = self._line
            writer.write(self._request(turn))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            status = int(head.split(b" ", 2)[1])
        except (OSError, asyncio.IncompleteReadError) as error:
            head = repr(error).encode()
            self._line = None
        self._tally.take(status, head, body, time.monotonic() - began)

    def _request(self, turn: int) -> bytes:
        path, body = f"/squads/{self._place.squad}", b""
        match turn % 4:
            case 0:
                body = b'{"tasks":[{"title":"x"}]}'
                first = f"POST {path}/tasks"
            case 1:
                first = f"GET {path}/tasks?limit=5"
            case 2:
                body = b'{"to":"m0","body":"x"}'
                first = f"POST {path}/messages"
            case _:
                first = f"GET {path}/tasks/{self._chance.randint(1, 4)}"
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        head = f"{first} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {self._place.key}\r\n{more}\r\n"
        return head.encode() + body


async def press(journal: Journal, place: Place, clients: int, seconds: float, every: float, seed: int) -> None:
    """A process of such clients, each of which sends a request every so many seconds."""
    tally = Tally()
    until = time.time() + seconds
    chances = [random.Random(seed * 10_000 + number) for number in range(clients)]
    await asyncio.gather(*[Client(place, chance, tally).press(until, every) for chance in chances])
    journal.note(
        "pressed",
        seconds=seconds,
        statuses=dict(tally.statuses),
        answered=tally.answered,
        refused=tally.refused,
        wrong=tally.wrong[:20],
    )
