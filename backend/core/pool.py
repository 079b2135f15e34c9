"""The async engine's pool: it follows the event loop, and replaces dead connections at no round trip."""

import asyncio
import contextlib
import select
from typing import Any, Final

from sqlalchemy import exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, PoolProxiedConnection

USED: Final = "used"


class LoopPool(AsyncAdaptedQueuePool):
    """A queue pool that belongs to the running event loop and starts anew in the next one.

    asyncpg's connections and asyncio's queue live and die with their loop, so a second `asyncio.run`
    in one process needs new ones.
    """

    _loop: asyncio.AbstractEventLoop | None = None

    def dispose(self) -> None:
        """Close what is idle; what is left of a loop that is gone can only be dropped."""
        if self._loop is not None and outlived(self._loop):
            self._drop()
        super().dispose()

    def _do_get(self) -> ConnectionPoolEntry:
        if outlived(self._loop):
            self._drop()
            self._loop = asyncio.get_running_loop()
        return super()._do_get()

    def _drop(self) -> None:
        while not self._pool.empty():
            drop(self._pool.get_nowait().driver_connection)
        self._pool = self._queue_class(self._pool.maxsize, use_lifo=self._pool.use_lifo)
        self._overflow = -self._pool.maxsize


def outlived(owner: asyncio.AbstractEventLoop | None) -> bool:
    """Whether what belongs to the loop `owner` has to start anew, since another one runs now.

    Raises:
        InvalidRequestError: the other one isn't closed yet, so two loops would share connections.
    """
    if owner is asyncio.get_running_loop():
        return False
    if owner is not None and not owner.is_closed():
        raise exc.InvalidRequestError("This engine is in use by another event loop; make a Database for each loop.")
    return True


def drop(connection: Any) -> None:
    """Forget an asyncpg connection whose loop is closed; its socket closes with the last reference."""
    if connection is not None:
        with contextlib.suppress(RuntimeError):  # "Event loop is closed"
            connection.terminate()


def refuse_dead(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
    """On checkout: an idle connection that has something to read was ended, or broken, by the server.

    asyncpg hears of it when the event loop comes round to the socket; looking at the socket itself is
    sooner, and costs a microsecond where a ping costs a round trip.
    """
    if not record.info.get(USED):  # made just now; the pool empties `info` when it makes a new one
        record.info[USED] = True
        return
    driver: Any = connection.driver_connection
    if driver.is_closed() or _readable(driver):
        raise exc.DisconnectionError


def _readable(driver: Any) -> bool:
    socket = driver._transport.get_extra_info("socket")  # noqa: SLF001  (asyncpg has no public way to it)
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))
