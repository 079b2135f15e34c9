"""The runner of a process: finds work for hosted members, claims it within its limits, and runs each attempt.

Woken by the log; the look now and then behind it asks the database, and no model. What it runs here nobody else needs
to know: a runner that dies leaves claims that lapse, and steps from which any other goes on.
"""

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from backend.core.database import Database
from backend.core.errors import Overloaded, SquadError
from backend.live.feed import Feed
from backend.operations import tasks
from backend.operations.access import Actor, SquadRef
from backend.runner.attempts import Attempt
from backend.runner.models import Models
from backend.runner.tools import Holder
from backend.runner.working import House

POLL: Final = 2.0  # seconds between two looks at all squads, rung or not
COALESCE: Final = 0.02  # seconds in which rings become one look
GRACE: Final = 5.0  # seconds in which attempts may end when the runner stops
GIVING_BACK: Final = 5.0  # seconds in which they are given back after that
log = logging.getLogger(__name__)


async def run(database: Database, feed: Feed) -> None:
    """Run hosted members until cancelled; then give back what can't be finished in the grace time."""
    async with Models(database.settings) as models:
        runner = Runner(House(database, models, feed.say), feed)
        try:
            await runner.run()
        finally:
            await runner.drain(GRACE)


class Runner:
    """Hosted members at work in this process.

    Args:
        house: what their attempts share.
        feed: says which squads' logs have grown.
    """

    def __init__(self, house: House, feed: Feed) -> None:
        self._house = house
        self._feed = feed
        self._settings = house.database.settings
        self._attempts: dict[tuple[UUID, str], tuple[Attempt, asyncio.Task[None]]] = {}
        self._claiming: asyncio.Task[bool] | None = None
        self._rung: set[UUID] = set()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Look for work until cancelled. A database that is away is asked again."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        with self._feed.listening(self._heard):
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._wake.wait()
                        await asyncio.sleep(COALESCE)
                self._wake.clear()
                squads: list[UUID] | None = list(self._rung)
                self._rung.clear()
                if loop.time() >= due:
                    squads, due = None, loop.time() + POLL
                try:
                    await self._leave_lost()
                    await self._look(squads)
                except Overloaded as error:
                    log.warning("Work could not be looked for: %s", error.detail)
                except Exception:
                    log.exception("Work could not be looked for.")

    async def drain(self, grace: float) -> None:
        """Let attempts end; what hasn't after a while is given back, which uses no try."""
        if self._claiming:
            await asyncio.wait([self._claiming])  # a claim isn't torn: what it brings is an attempt like the others
        working = [task for _, task in self._attempts.values()]
        if working:
            await asyncio.wait(working, timeout=grace)
        left = list(self._attempts.values())
        for attempt, _ in left:
            attempt.drain()
        if left:
            await asyncio.wait([task for _, task in left], timeout=GIVING_BACK)

    def _heard(self, squads: Iterable[UUID] | None) -> None:
        """Squads whose logs have grown; None: any may have."""
        if squads is None:
            self._rung.update(squad for squad, _ in self._attempts)
        else:
            self._rung.update(squads)
        self._wake.set()

    async def _leave_lost(self) -> None:
        """Stop at once what was paused, cancelled or taken away meanwhile."""
        if not self._attempts:
            return
        held = list(self._attempts)
        squads, claims = [squad for squad, _ in held], [claim for _, claim in held]
        rows = await self._house.database.reads.rows(tasks.live, squads, claims)
        live = {(row["squad_id"], row["claim"]) for row in rows}
        for key in held:
            if key not in live and key in self._attempts:
                self._attempts[key][0].lose()

    async def _look(self, squads: list[UUID] | None) -> None:
        """Claim what hosted members find, until they find no more or the process has enough."""
        if squads == []:
            return
        while self._free() > 0:
            rows = await self._house.database.reads.rows(tasks.waiting, squads, self._settings.SQUAD_RUNNER_PER_SQUAD)
            random.shuffle(rows)  # nobody comes last each time
            claimed = False
            for row in rows[: self._free()]:
                self._claiming = asyncio.create_task(self._claim(row["squad_id"], row["member_id"]))
                claimed |= await asyncio.shield(self._claiming)
            if not claimed:
                return

    async def _claim(self, squad_id: UUID, member_id: UUID) -> bool:
        actor, squad = Actor(member_id=member_id, squad_id=squad_id), SquadRef(squad_id, None)
        try:
            claimed = await self._house.database.transact(
                tasks.claim_hosted, actor, squad, self._settings.SQUAD_RUNNER_PER_SQUAD
            )
        except Overloaded:
            raise
        except SquadError as error:  # it was retired or archived just now
            log.info("A hosted member could not claim: %s", error.detail)
            return False
        if claimed is None:
            return False
        item: dict[str, Any] = json.loads(claimed)["items"][0]
        attempt = Attempt(self._house, Holder(actor, squad, item["claim"]), item)
        key = (squad_id, item["claim"])
        task = asyncio.create_task(attempt.run())
        self._attempts[key] = (attempt, task)
        task.add_done_callback(lambda _: self._ended(key))
        return True

    def _ended(self, key: tuple[UUID, str]) -> None:
        del self._attempts[key]
        self._heard([key[0]])

    def _free(self) -> int:
        return self._settings.SQUAD_RUNNER_TASKS - len(self._attempts)
