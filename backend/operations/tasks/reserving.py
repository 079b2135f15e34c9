"""Reservations: the paths of live attempts. They are read from the attempts themselves, and end with them."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.errors import Overloaded, Reserved
from backend.operations.access import Actor, SquadRef
from backend.operations.functions import on_board
from backend.operations.tasks.globs import overlap

SLICE: Final = 0.005  # seconds of comparing after which others have their turn
MOST: Final = 2.0  # seconds of comparing in all: the squad waits for it


async def overlapping(session: AsyncSession, actor: Actor, squad: SquadRef, paths: Sequence[str]) -> Reserved | None:
    """The first live attempt that reserves something of these paths, as an error; None: there is none.

    The squad is locked from then on, so that it stays true until the transaction ends.

    Raises:
        NotFound: no such squad.
        Overloaded: there is too much to compare.
    """
    live = orjson.loads(await on_board(session, "reserved_paths", actor, squad))
    now = time.monotonic()
    turn, ends = now + SLICE, now + MOST
    for attempt, path, other in _pairs(live, paths):
        if overlap(path, other):
            return _error(path, other, attempt)
        now = time.monotonic()
        if now > ends:
            raise Overloaded("The squad's reservations take too long to compare; name fewer and plainer paths.")
        if now > turn:
            await asyncio.sleep(0)
            turn = time.monotonic() + SLICE
    return None


def _pairs(live: list[dict[str, Any]], paths: Sequence[str]) -> Iterator[tuple[dict[str, Any], str, str]]:
    for attempt in live:
        for path, other in product(paths, attempt["paths"]):
            yield attempt, path, other


def _error(path: str, other: str, attempt: dict[str, Any]) -> Reserved:
    until = attempt["until"]
    when = f"until {until[11:19]} UTC" if until else "without a lease that could end"
    return Reserved(
        f"{path} overlaps with {other}, which {attempt['holder']} reserves for #{attempt['task']} "
        f"(attempt {attempt['attempt']}) {when}; wait for it, or claim with other paths.",
        **{name: attempt[name] for name in ("task", "attempt", "holder", "until")},
        path=path,
        other=other,
    )
