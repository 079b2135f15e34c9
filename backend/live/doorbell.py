"""The doorbell between server processes: NOTIFY says that a squad's log has grown, and never what is new.

On a channel of its own it also carries what models say just now, which is in no log.

One connection per process, borrowed for good from the pool, both rings and listens. It rings after the commit,
for all squads of the last ten milliseconds at once; NOTIFY inside of the writing transactions would make them
wait for one another. asyncpg doesn't notice a listening connection that died, so it is asked every five seconds. A bell
that isn't heard costs a second, since the followed logs are also looked at each second.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final
from uuid import UUID

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.core import failures
from backend.live.speech import KEPT, Said

CHANNEL: Final = "agentsquad"
SPEECH: Final = "agentsquad_text"
COALESCE: Final = 0.01  # seconds
CHECK: Final = 5.0  # seconds between two looks at the connection, and that such a look may take
AT_ONCE: Final = 200  # squads in one NOTIFY, whose text has at most 8,000 bytes
SAID_AT_ONCE: Final = 100  # pieces of text in one statement; what rings goes between two of them
log = logging.getLogger(__name__)


class Doorbell:
    """Rings at the other processes, and hears them.

    Args:
        engine: where the connection comes from.
        heard: called with the squads whose logs have grown; with None when rings may have been missed.
        said: called with each piece of text that any process says, this one too.
    """

    def __init__(
        self, engine: AsyncEngine, heard: Callable[[set[UUID] | None], None], said: Callable[[Said], None]
    ) -> None:
        self._engine = engine
        self._heard = heard
        self._said = said
        self._rung: set[UUID] = set()
        self._saying: deque[str] = deque(maxlen=KEPT)
        self._wake = asyncio.Event()

    def ring(self, squads: Iterable[UUID]) -> None:
        """Tell the other processes, a little later."""
        self._rung.update(squads)
        self._wake.set()

    def say(self, said: Said) -> None:
        """Tell all processes, a little later. What can't be told soon enough is dropped."""
        self._saying.append(said.payload)
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
            await connection.add_listener(SPEECH, self._hear_text)
            self._heard(None)
            self._saying.clear()  # it is too late for what was said while there was no connection
            while not connection.is_closed():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK):
                        await self._wake.wait()
                        await asyncio.sleep(COALESCE)
                self._wake.clear()
                rung, self._rung = list(self._rung), set()
                async with asyncio.timeout(CHECK):
                    await self._notify(connection, rung)
                    await self._pass_on(connection)
        finally:
            lent.invalidate()  # one that listens is none for anybody else

    async def _notify(self, connection: Any, rung: list[UUID]) -> None:
        """Ring for all of them; for none it is a look at the connection."""
        for start in range(0, max(len(rung), 1), AT_ONCE):
            text = ",".join(map(str, rung[start : start + AT_ONCE]))
            await connection.execute(f"SELECT pg_notify('{CHANNEL}', '{text}')" if text else "SELECT 1")

    async def _pass_on(self, connection: Any) -> None:
        """Say what is to be said, in order, or the beginning of it."""
        payloads = [self._saying.popleft() for _ in range(min(len(self._saying), SAID_AT_ONCE))]
        if payloads:
            each = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"
            await connection.execute(each, SPEECH, payloads)
        if self._saying:
            self._wake.set()

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        self._heard({UUID(item) for item in payload.split(",")})

    def _hear_text(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        self._said(Said.read(payload))
