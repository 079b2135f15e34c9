"""Takes back what dead workers hold: every half second, squad by squad, in every process of a server or a runner.

No leader: a squad that somebody is writing to is skipped, since that writer lapses what is over itself
or the next round comes. Now and then it forgets answers that were kept for long enough.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Final

from backend.core.database import Database
from backend.core.errors import Overloaded
from backend.operations import idempotency, tasks

EVERY: Final = 0.5  # seconds
AGAIN: Final = 60.0  # seconds for which a squad that could not be swept is looked at again
FORGET: Final = 600.0  # seconds between two removals of answers that were kept for long enough
log = logging.getLogger(__name__)


async def run(database: Database) -> None:
    """Sweep until cancelled. A database that is away is asked again; a defect is logged, and the sweeping goes on."""
    clock = asyncio.get_running_loop().time
    forgotten = clock()
    swept = 0.0
    while True:
        with _going_on("Leases"):
            # Only what was over lately: what left the board before is dead, and in the way while an old snapshot lasts.
            # By the clock on the wall, which also counts the time that the machine slept.
            began = time.time()
            rows = await database.reads.rows(tasks.over, max(began - swept, 0.0) + AGAIN)
            swept = began
            for row in rows:
                # Squad by squad: one that can't be swept keeps no other waiting.
                with _going_on(f"Leases of the squad {row['squad_id']}"):
                    await database.transact(tasks.lapse, row["squad_id"])
        if clock() >= forgotten + FORGET:
            forgotten = clock()
            with _going_on("Old answers"):
                await database.transact(idempotency.forget)
        await asyncio.sleep(EVERY)


@contextlib.contextmanager
def _going_on(what: str) -> Iterator[None]:
    try:
        yield
    except Overloaded as error:
        log.warning("%s could not be swept: %s", what, error.detail)
    except Exception:
        log.exception("%s could not be swept.", what)
