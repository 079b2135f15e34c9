"""Reading at asyncpg's speed: SQLAlchemy writes the SQL once, asyncpg runs it, one round trip.

A read operation is a function that returns a Core `select()`. Called with values it is an ordinary
statement for a session; given to a `Lane` it is called once with placeholders, compiled once, prepared
once per connection, and from then on only its arguments travel.

    await database.reads.json(users.get, actor, user_id)        # bytes that PostgreSQL built, or None
    await database.reads.row(keys.user_of, digest)              # asyncpg's record, or None
    await database.reads.rows(users.everybody, actor)           # all of them
    await session.execute(users.get(actor, user_id))            # the same query through a session

A list is one row too: its items are aggregated in the query, so that a page is one round trip and its
bytes are the answer.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from backend.core import failures, pool
from backend.core.loans import Asked, Loans, Slot, answer, fetch, settle
from backend.core.statements import ONE, ROWS, VALUE, Query, Statement


class Lane:
    """A few connections of the engine's pool, borrowed for the life of the process.

    Autocommit, no ping, no reset: a read is one round trip. A connection that is closed is replaced
    before it is used; a connection error empties the lane, and the read is repeated once on a new one;
    a cancelled read's connection is thrown away, since its answer may still be under way.

    When all connections are in use, reads wait in the order in which they came, and the next connection
    takes those that ask the same of other arguments along in one round trip: the busier, the cheaper each.

    Args:
        engine: where the connections come from.
        size: how many it borrows at most.
        wait: seconds until a read that finds none free gives up.
    """

    def __init__(self, engine: AsyncEngine, size: int, wait: float) -> None:
        self._engine = engine
        self._size = size
        self._wait = wait
        self._statements: dict[tuple[Query, str], Statement] = {}
        self._epoch = 0  # counts the times that plans went stale
        self._loans: Loans | None = None

    async def json(self, query: Query, *values: object) -> bytes | None:
        """The first row as JSON, or None."""
        text = await self._run(query, ONE, values, "fetchval")
        return None if text is None else text.encode()

    async def value(self, query: Query, *values: object) -> bytes | None:
        """The only column of the first row, which is JSON already, or None."""
        text = await self._run(query, VALUE, values, "fetchval")
        return None if text is None else text.encode()

    async def rows(self, query: Query, *values: object) -> list[Any]:
        """All rows as asyncpg's records, which read by name and by position."""
        rows: list[Any] = await self._run(query, ROWS, values, "fetch")
        return rows

    async def row(self, query: Query, *values: object) -> Any:
        """The first row as asyncpg's record, or None."""
        return await self._run(query, ROWS, values, "fetchrow")

    async def close(self) -> None:
        """Give every connection back; the lane opens again at the next read."""
        if self._loans is not None:
            pool.outlived(self._loans.loop)  # raises while it is another loop's
            self._loans.close()
            self._loans = None

    async def _run(self, query: Query, form: str, values: Sequence[object], how: str) -> Any:
        statement = self._statements.get((query, form))
        if statement is None:
            statement = self._statements[query, form] = Statement(query, form)
        arguments = statement.arguments(values)
        with failures.translating:
            loans = self._loans_of_this_loop()
            try:
                return await self._once(loans, statement, arguments, how)
            except Exception as error:
                if failures.stale_plan(error):  # a migration changed a table under the prepared plan
                    self._epoch += 1
                elif failures.connection_lost(error):
                    loans.discard()
                else:
                    raise
            return await self._once(self._loans_of_this_loop(), statement, arguments, how)

    def _loans_of_this_loop(self) -> Loans:
        loans = self._loans
        if loans is None or pool.outlived(loans.loop):
            if loans is not None:
                loans.close()
            loans = self._loans = Loans(self._wait)
        return loans

    async def _once(self, loans: Loans, statement: Statement, arguments: list[object], how: str) -> Any:
        if loans.busy >= self._size:
            return await loans.ask(statement, arguments, how)
        loans.busy += 1
        try:
            slot = await self._take(loans)
            try:
                result = await fetch(slot, statement.sql, arguments, how)
            except BaseException as error:
                settle(loans, slot, error)
                raise
            loans.put(slot)
            return result
        finally:
            if loans.waiting:  # this connection's place is theirs now
                task = loans.loop.create_task(self._serve(loans))
                loans.serving.add(task)
                task.add_done_callback(loans.serving.discard)
            else:
                loans.busy -= 1

    async def _serve(self, loans: Loans) -> None:
        """Answer those who wait, on one connection, until nobody does."""
        try:
            while batch := loans.next():
                try:
                    await self._answer(loans, batch)
                except Exception as error:  # noqa: BLE001  (it is handed to those who asked)
                    for asked in batch:
                        asked.fail(error)
        finally:
            loans.busy -= 1

    async def _answer(self, loans: Loans, batch: list[Asked]) -> None:
        await answer(loans, await self._take(loans), batch)

    async def _take(self, loans: Loans) -> Slot:
        while loans.free:
            slot = loans.free.pop()
            if slot.connection.is_closed():
                slot.lent.invalidate()
                continue
            if slot.epoch != self._epoch:
                slot.prepared.clear()
                slot.epoch = self._epoch
            return slot
        return Slot(await self._engine.raw_connection(), self._epoch)
