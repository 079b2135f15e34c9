"""Followers of a squad's feed: raw sockets that read server-sent events, drop, and resume by `Last-Event-ID`."""

import asyncio
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tests.campaigns.crew import Journal
from tests.campaigns.serving import Place

PATIENCE = 0.5  # seconds without an event until a follower looks whether it has reached the end


class Ended(Exception):
    """The connection is over, or there was none; the follower comes again."""


class Stream:
    """One connection: a request, and the events that come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._fields: dict[str, str] = {}

    @classmethod
    async def open(cls, url: str, squad: str, key: str, last: int, query: str = "") -> Self:
        """Ask for what is behind a position.

        Raises:
            Ended: nobody listens, or the server is overloaded.
        """
        host, port = urlsplit(url).hostname, urlsplit(url).port
        made = None
        try:
            made = cls(*await asyncio.open_connection(host, port))
            request = (
                f"GET /squads/{squad}/events/stream{query} HTTP/1.1\r\nHost: {host}:{port}\r\n"
                f"Authorization: Bearer {key}\r\nLast-Event-ID: {last}\r\n\r\n"
            )
            made._writer.write(request.encode())
            async with asyncio.timeout(15):
                head = await made._reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError) as error:
            if made is not None:
                made.close()
            raise Ended from error
        status = head.split(b" ", 2)[1]
        if status == b"503":
            made.close()
            raise Ended
        assert status == b"200", head
        return made

    async def next(self, seconds: float) -> tuple[int, str] | None:
        """Position and kind of the next event; None when none has come whole in that time.

        Lines that are no field are the sizes of HTTP's chunks and comments, which say nothing here.

        Raises:
            Ended: the server has ended the stream, or is gone.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    line = (await self._reader.readuntil(b"\n")).decode().rstrip("\r\n")
                    name, found, value = line.partition(": ")
                    if found:
                        self._fields[name] = value
                    elif not line and "data" in self._fields:
                        return self._event()
        except TimeoutError:
            return None
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Ended from error

    def _event(self) -> tuple[int, str]:
        fields, self._fields = self._fields, {}
        data = json.loads(fields["data"])
        assert (fields["id"], fields["event"]) == (str(data["position"]), data["kind"])
        return data["position"], data["kind"]

    def close(self) -> None:
        """Leave at once, without a word."""
        self._writer.transport.abort()


def received(seen: list[int]) -> int:
    """The position to resume after: the last event's."""
    return seen[-1] if seen else 0


@dataclass
class Follower:
    """Somebody who wants to see everything, once and in order.

    Args:
        place: the squad and its servers.
        chance: what decides when it drops, and where it resumes.
        kinds: the only kinds that it wants; none means all.
        drops: how probable it is that it drops after an event.
        rests: how probable it is that it rests after an event.
        resume: from where it resumes, by what it has seen.
    """

    place: Place
    chance: random.Random
    kinds: tuple[str, ...] = ()
    drops: float = 0.0
    rests: float = 0.0
    resume: Callable[[list[int]], int] = received
    seen: list[int] = field(default_factory=list)
    streams: int = 0

    async def follow(self, reached: Callable[[int], bool]) -> None:
        """Read until the end is reached; whatever ends a connection, come again on any server."""
        query = "?" + "&".join(f"kind={kind}" for kind in self.kinds) if self.kinds else ""
        while not reached(max(received(self.seen), self.resume(self.seen))):
            try:
                url = self.chance.choice(self.place.urls)
                stream = await Stream.open(url, self.place.squad, self.place.key, self.resume(self.seen), query)
            except Ended:
                await asyncio.sleep(self.chance.uniform(0.05, 0.2))
                continue
            self.streams += 1
            try:
                await self._read(stream, reached)
            except Ended:
                pass
            finally:
                stream.close()

    async def _read(self, stream: Stream, reached: Callable[[int], bool]) -> None:
        while not reached(received(self.seen)):
            event = await stream.next(PATIENCE)
            if event is None:
                continue
            self.seen.append(event[0])
            if self.chance.random() < self.drops:
                return
            if self.chance.random() < self.rests:
                await asyncio.sleep(self.chance.uniform(0, 1))


def end_of(path: Path) -> float:
    """The last position that is to be seen, as soon as it is known."""
    return int(path.read_text()) if path.exists() else math.inf


def announce(path: Path, position: int) -> None:
    """Make it known, in one piece."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(str(position))
    new.rename(path)


async def follow(journal: Journal, place: Place, end: Path, seed: int, tempers: list[dict[str, object]]) -> None:
    """A process of followers: each reads until the end is known and reached, and then says what it has seen."""

    async def one(number: int, temper: dict[str, object]) -> None:
        follower = Follower(place, random.Random(seed * 1000 + number), **temper)  # type: ignore[arg-type]
        await follower.follow(lambda position: position >= end_of(end))
        journal.note("seen", positions=follower.seen, kinds=follower.kinds, streams=follower.streams)

    await asyncio.gather(*[one(number, temper) for number, temper in enumerate(tempers)])
