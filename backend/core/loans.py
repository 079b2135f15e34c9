"""What the lane has borrowed from the pool, who waits for it, and how those who wait are answered together."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import asyncpg
from sqlalchemy.pool import PoolProxiedConnection

from backend.core import pool
from backend.core.errors import Overloaded
from backend.core.statements import Statement

AT_ONCE: Final = 32  # reads that share one round trip at most


class Slot:
    """A connection of the lane. What the pool gave is kept as long as asyncpg's own is used."""

    __slots__ = ("connection", "epoch", "lent", "prepared")

    def __init__(self, lent: PoolProxiedConnection, epoch: int) -> None:
        self.lent = lent
        self.epoch = epoch
        self.connection: Any = lent.driver_connection
        self.prepared: dict[str, Any] = {}


class Asked:
    """A read that waits for a connection."""

    __slots__ = ("answer", "arguments", "deadline", "fetch", "statement")

    def __init__(self, statement: Statement, arguments: list[object], fetch: str, deadline: float) -> None:
        self.statement = statement
        self.arguments = arguments
        self.fetch = fetch
        self.deadline = deadline
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def succeed(self, value: object) -> None:
        """Hand the answer over, unless nobody waits for it any more."""
        if not self.answer.done():
            self.answer.set_result(value)

    def fail(self, error: Exception) -> None:
        """Hand the error over, unless nobody waits for it any more."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Loans:
    """What one event loop has borrowed, and who waits for it.

    `busy` counts the connections in use. While a read waits, all of them are.
    """

    def __init__(self, wait: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.wait = wait
        self.busy = 0
        self.free: deque[Slot] = deque()
        self.waiting: deque[Asked] = deque()
        self.serving: set[asyncio.Task[None]] = set()
        self.closed = False
        self._alarm: asyncio.TimerHandle | None = None

    def ask(self, statement: Statement, arguments: list[object], fetch: str) -> asyncio.Future[Any]:
        """Queue a read; it is answered, or given up when it has waited for too long."""
        asked = Asked(statement, arguments, fetch, self.loop.time() + self.wait)
        self.waiting.append(asked)
        if self._alarm is None:
            self._alarm = self.loop.call_at(asked.deadline, self._give_up)
        return asked.answer

    def _give_up(self) -> None:
        now = self.loop.time()
        while self.waiting and (self.waiting[0].deadline <= now or self.waiting[0].answer.done()):
            self.waiting.popleft().fail(Overloaded("The database is busy; try again in a second."))
        self._alarm = self.loop.call_at(self.waiting[0].deadline, self._give_up) if self.waiting else None

    def next(self) -> list[Asked]:
        """The read that waited longest, with those behind it that ask the same of other arguments."""
        batch: list[Asked] = []
        while self.waiting and len(batch) < AT_ONCE:
            asked = self.waiting[0]
            if batch and (asked.statement is not batch[0].statement or asked.statement.many is None):
                break
            self.waiting.popleft()
            if not asked.answer.done():
                batch.append(asked)
        return batch

    def put(self, slot: Slot) -> None:
        """Keep a slot for the next read, if it is good for one."""
        if self.closed or slot.connection.is_closed():
            slot.lent.invalidate()
        else:
            self.free.append(slot)

    def discard(self) -> None:
        """Throw every free slot away."""
        while self.free:
            self.free.pop().lent.invalidate()

    def close(self) -> None:
        """Give every free slot back to the pool; those in use are thrown away when their reads end."""
        self.closed = True
        while self.free:
            slot = self.free.pop()
            if self.loop.is_closed():
                pool.drop(slot.connection)
                slot.lent.detach()
            else:
                slot.lent.close()


async def fetch(slot: Slot, sql: str, arguments: Iterable[object], how: str) -> Any:
    """Run a statement, which the connection keeps prepared; `how` is the method of asyncpg's that runs it."""
    prepared = slot.prepared.get(sql)
    if prepared is None:
        prepared = slot.prepared[sql] = await slot.connection.prepare(sql)
    return await getattr(prepared, how)(*arguments)


async def answer(loans: Loans, slot: Slot, batch: list[Asked]) -> None:
    """Answer reads that ask the same of other arguments, and give the connection back."""
    try:
        if len(batch) == 1 or not await _together(slot, batch):
            await _one_by_one(slot, batch)
    except BaseException as error:
        settle(loans, slot, error)
        raise
    loans.put(slot)


async def _together(slot: Slot, batch: list[Asked]) -> bool:
    """Ask for all in one round trip. Answers False if the server refused one of them, and so all."""
    statement = batch[0].statement
    assert statement.many is not None
    try:
        rows = await fetch(slot, statement.many, ([asked.arguments for asked in batch],), "fetchmany")
    except asyncpg.PostgresError:
        if slot.connection.is_closed():
            raise
        return False
    for asked, row in zip(batch, rows, strict=True):
        asked.succeed(row[0])
    return True


async def _one_by_one(slot: Slot, batch: list[Asked]) -> None:
    for asked in batch:
        try:
            asked.succeed(await fetch(slot, asked.statement.sql, asked.arguments, asked.fetch))
        except asyncpg.PostgresError as error:
            asked.fail(error)


def settle(loans: Loans, slot: Slot, error: BaseException) -> None:
    """Keep the connection after the server's own answer: nothing else is under way. Otherwise throw it away."""
    if isinstance(error, asyncpg.PostgresError):
        loans.put(slot)
    else:
        slot.lent.invalidate()
