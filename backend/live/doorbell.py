"""The doorbell between server processes: NOTIFY says that a squad's log has grown, and never what is new.

One connection per process, borrowed for good from the pool, both rings and listens. It rings after the commit,
for all squads of the last ten milliseconds at once; NOTIFY inside of the writing transactions would make them
wait for one another. asyncpg doesn't notice a listening connection that died, so it is asked every five seconds. A bell
that isn't heard costs a second, since the followed logs are also looked at each second.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final
from uuid import UUID

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.core import failures

CHANNEL: Final = "agentsquad"
COALESCE: Final = 0.01  # seconds
CHECK: Final = 5.0  # seconds between two looks at the connection, and that such a look may take
AT_ONCE: Final = 200  # squads in one NOTIFY, whose text has at most 8,000 bytes
log = logging.getLogger(__name__)


class Doorbell:
    """Rings at the other processes, and hears them.

    Args:
        engine: where the connection comes from.
        heard: called with the squads whose logs have grown; with None when rings may have been missed.
    """

    def __init__(self, engine: AsyncEngine, heard: Callable[[set[UUID] | None], None]) -> None:
        self._engine = engine
        self._heard = heard
        self._rung: set[UUID] = set()
        self._wake = asyncio.Event()

    def ring(self, squads: Iterable[UUID]) -> None:
        """Tell the other processes, a little later."""
        self._rung.update(squads)
        self._wake.set()

    async def run(self) -> None:
        """Ring and listen until cancelled; a connection that is lost is replaced."""
        while True:
            try:
                await self._serve()
            except Exception as error:
                if isinstance(error, (exc.SQLAlchemyError, OSError)) or failures.connection_lost(error):
                    log.warning("The doorbell's connection is lost (%s); it is made anew.", error)
                else:
                    log.exception("The doorbell broke; its connection is made anew.")
            await asyncio.sleep(1)

    async def _serve(self) -> None:
        lent = await self._engine.raw_connection()
        connection: Any = lent.driver_connection
        try:
            await connection.add_listener(CHANNEL, self._hear)
            self._heard(None)
            while not connection.is_closed():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK):
                        await self._wake.wait()
                        await asyncio.sleep(COALESCE)
                self._wake.clear()
                rung, self._rung = list(self._rung), set()
                async with asyncio.timeout(CHECK):
                    await self._notify(connection, rung)
        finally:
            lent.invalidate()  # one that listens is none for anybody else

    async def _notify(self, connection: Any, rung: list[UUID]) -> None:
        """Ring for all of them; for none it is a look at the connection."""
        for start in range(0, max(len(rung), 1), AT_ONCE):
            text = ",".join(map(str, rung[start : start + AT_ONCE]))
            await connection.execute(f"SELECT pg_notify('{CHANNEL}', '{text}')" if text else "SELECT 1")

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        self._heard({UUID(item) for item in payload.split(",")})
