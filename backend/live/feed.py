"""The feed: whoever follows a squad's log from a position gets every event behind it, in order, once.

One tailer per process reads, in one statement, what is new in all followed logs that rang. What it reads it
keeps for a while, so that an event is fetched and encoded once for all followers; whoever is further behind
reads from the table, page by page, until it has caught up. No follower holds a connection.

Who asks for it also gets what models say just now. That has no position and changes none: there is as much of it as is
kept, and who reads too slowly for that misses some of it and no event.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final
from uuid import UUID

from backend.core.database import Database
from backend.core.errors import NotFound, Overloaded
from backend.live import speech
from backend.live.doorbell import Doorbell
from backend.live.speech import Said
from backend.operations import events
from backend.operations.access import Actor, SquadRef

POLL: Final = 1.0  # seconds between two looks at every followed log, rung or not
AT_ONCE: Final = 200  # events of one squad that the tailer reads at once
PAGE: Final = 50  # events that a follower gets at once
KEPT: Final = 500  # events of one squad that are kept
KEPT_SIZE: Final = 2 * 1024 * 1024  # characters of them
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Told:
    """An event as followers get it: its JSON text, and what an interface has made of that, once for all of them."""

    position: int
    kind: str
    task: int | None
    text: str
    wire: bytes | None = None


@dataclass(slots=True)
class Channel:
    """One followed log.

    Args:
        squad_id: whose.
        last: the position up to which the tailer has read.
        freed: the position of the last event after which somebody may find something to claim.
        sent: the position of the last message.
        followers: how many read it.
        recent: its last events, without a gap.
        size: how many characters they have.
        said: the last pieces of what models said.
        spoken: how many there were.
        grown: set for an instant when there are more events.
        stirred: the same when there is more of either.
        claiming: those who wait for work try one after another.
    """

    squad_id: UUID
    last: int
    freed: int = 0
    sent: int = 0
    followers: int = 0
    recent: deque[Told] = field(default_factory=deque)
    size: int = 0
    said: deque[Said] = field(default_factory=lambda: deque(maxlen=speech.KEPT))
    spoken: int = 0
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    claiming: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self, row: Any) -> None:
        """The next event."""
        told = Told(row["position"], row["kind"], row["task"], row["text"])
        self.recent.append(told)
        self.size += len(told.text)
        while len(self.recent) > KEPT or (self.size > KEPT_SIZE and len(self.recent) > 1):
            self.size -= len(self.recent.popleft().text)
        self.last = told.position
        if row["frees"]:
            self.freed = told.position
        if told.kind == "message.sent":
            self.sent = told.position

    def behind(self, position: int) -> list[Told] | None:
        """What is kept behind a position; None if it no longer is."""
        if not self.recent or self.recent[0].position > position + 1:
            return None
        start = position + 1 - self.recent[0].position
        return list(islice(self.recent, start, start + PAGE))

    def hear(self, said: Said) -> None:
        """What a model says now."""
        self.said.append(said)
        self.spoken += 1
        _pulse(self.stirred)

    def said_since(self, spoken: int) -> list[Said]:
        """What is kept of what was said since then."""
        return list(islice(self.said, max(0, len(self.said) - (self.spoken - spoken)), None))

    async def wait(self, seconds: float, *, text: bool = False) -> None:
        """Until the log has grown, or there is text if that is wanted, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await (self.stirred if text else self.grown).wait()

    def wake(self) -> None:
        """Let everybody look who waits now."""
        _pulse(self.grown)
        _pulse(self.stirred)


class Feed:
    """The followed logs of one server process.

    Args:
        database: whose commits are announced, and whose log is read.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ending = False
        self._bell = Doorbell(database.async_engine, self._heard, self._said)
        self._channels: dict[UUID, Channel] = {}
        self._rung: set[UUID] = set()
        self._wake = asyncio.Event()
        self._listeners: list[Callable[[Iterable[UUID] | None], None]] = []

    async def run(self) -> None:
        """Tail the followed logs until cancelled; a database that is away is asked again."""
        self.database.on_change = self._changed
        bell = asyncio.create_task(self._bell.run())
        try:
            await self._tail()
        finally:
            self.database.on_change = None
            bell.cancel()
            await asyncio.wait([bell])

    def end(self) -> None:
        """Let every follower and every long poll end; the process stops."""
        self.ending = True
        for channel in self._channels.values():
            channel.wake()

    def say(self, said: Said) -> None:
        """Tell the followers of all processes what a model says. Nobody waits for it, and it may get lost."""
        self._bell.say(said)

    async def require(self, actor: Actor, squad: SquadRef) -> Any:
        """The squad's `id` and the `position` of its last event.

        Raises:
            NotFound: no such squad, or none that the actor is part of.
        """
        row = await self.database.reads.row(events.last, actor, squad)
        if row is None:
            raise NotFound("Squad not found")
        return row

    @contextlib.asynccontextmanager
    async def channel(self, squad: Any) -> AsyncIterator[Channel]:
        """The log of a squad, as `require` has answered it, followed as long as the block lasts."""
        channel = self._channels.setdefault(squad["id"], Channel(squad["id"], squad["position"]))
        channel.followers += 1
        self._ring([channel.squad_id])  # what was written since that look has rung already
        try:
            yield channel
        finally:
            channel.followers -= 1
            if not channel.followers:
                self._channels.pop(channel.squad_id, None)

    @contextlib.contextmanager
    def listening(self, heard: Callable[[Iterable[UUID] | None], None]) -> Iterator[None]:
        """Say which squads' logs have grown, followed or not, as long as the block lasts; None: any may have."""
        self._listeners.append(heard)
        try:
            yield
        finally:
            self._listeners.remove(heard)

    def _changed(self, squads: Iterable[UUID]) -> None:
        self._ring(squads)
        self._bell.ring(squads)
        self._tell(squads)

    def _heard(self, squads: set[UUID] | None) -> None:
        self._ring(self._channels if squads is None else squads)
        self._tell(squads)

    def _said(self, said: Said) -> None:
        if said.squad_id in self._channels:
            self._channels[said.squad_id].hear(said)

    def _tell(self, squads: Iterable[UUID] | None) -> None:
        for heard in self._listeners:
            heard(squads)

    def _ring(self, squads: Iterable[UUID]) -> None:
        followed = [squad for squad in squads if squad in self._channels]
        if followed:
            self._rung.update(followed)
            self._wake.set()

    async def _tail(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            self._wake.clear()
            if loop.time() >= due:
                self._rung.update(self._channels)
                due = loop.time() + POLL
            rung, self._rung = self._rung, set()
            try:
                await self._read([self._channels[squad] for squad in rung if squad in self._channels])
            except Overloaded as error:
                log.warning("The log could not be read: %s", error.detail)
            except Exception:
                log.exception("The log could not be read.")

    async def _read(self, channels: list[Channel]) -> None:
        if not channels:
            return
        ids, positions = [each.squad_id for each in channels], [each.last for each in channels]
        rows = await self.database.reads.rows(events.behind, ids, positions, AT_ONCE)
        counts = dict.fromkeys(ids, 0)
        by_id = {each.squad_id: each for each in channels}
        for row in rows:
            counts[row["squad_id"]] += 1
            by_id[row["squad_id"]].take(row)
        for squad_id, count in counts.items():
            if count:
                by_id[squad_id].wake()
            if count == AT_ONCE:
                self._ring([squad_id])


class Follower:
    """One reader's place in a squad's log.

    Args:
        feed: the process's feed.
        channel: the squad's, which the reader keeps open.
        actor: who reads.
        squad: the same squad, as the reader named it.
        position: behind which it reads on.
        task: only events of this task.
        kinds: only events of these kinds.
        hears: which of what models say from now on is wanted as well; None: nothing.
    """

    def __init__(
        self,
        feed: Feed,
        channel: Channel,
        actor: Actor,
        squad: SquadRef,
        position: int,
        task: int | None = None,
        kinds: frozenset[str] = frozenset(),
        hears: Callable[[Said], bool] | None = None,
    ) -> None:
        self._feed = feed
        self._channel = channel
        self._actor = actor
        self._squad = squad
        self._position = position
        self._task = task
        self._kinds = kinds
        self._hears = hears
        self._spoken = channel.spoken
        chosen = {"task": task is not None, "kinds": bool(kinds)}
        self._query = events.told(*(name for name, given in chosen.items() if given))

    async def next(self, seconds: float) -> list[Told]:
        """The next events, as soon as there are some; none, when the time is over, there is text, or it all stops."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while not self._feed.ending:
            found: list[Told] = []
            if self._position < self._channel.last:
                kept = self._channel.behind(self._position)
                found = self._chosen(kept) if kept is not None else await self._caught_up(ends)
            elif not self._is_spoken_to():
                await self._channel.wait(ends - loop.time(), text=self._hears is not None)
            if found or self._is_spoken_to() or loop.time() >= ends:
                return found
        return []

    def said(self) -> list[Said]:
        """What models have said meanwhile, without what was too much to keep."""
        found = self._channel.said_since(self._spoken) if self._is_spoken_to() else []
        self._spoken = self._channel.spoken
        return [each for each in found if self._hears and self._hears(each)]

    def _is_spoken_to(self) -> bool:
        return self._hears is not None and self._channel.spoken > self._spoken

    def _chosen(self, kept: list[Told]) -> list[Told]:
        self._position = kept[-1].position
        return [
            told for told in kept if self._task in (None, told.task) and (not self._kinds or told.kind in self._kinds)
        ]

    async def _caught_up(self, ends: float) -> list[Told]:
        """A page from the table; without a database nothing, after a while."""
        read_up_to = self._channel.last
        values = (self._position, PAGE, self._task, sorted(self._kinds))
        try:
            rows = await self._feed.database.reads.rows(self._query, self._actor, self._squad, *values)
        except Overloaded:
            await asyncio.sleep(min(1.0, max(0.0, ends - asyncio.get_running_loop().time())))
            return []
        found = [Told(row["position"], row["kind"], row["task"], row["text"]) for row in rows]
        if found:
            self._position = found[-1].position
        if len(found) < PAGE:  # there is no more of what is chosen, up to where the log was then
            self._position = max(self._position, read_up_to)
        return found


def _pulse(event: asyncio.Event) -> None:
    """Let all go on who wait now, and nobody who comes later."""
    event.set()
    event.clear()
