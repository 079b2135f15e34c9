"""One attempt of a hosted member, from its claim to whatever ends it; its lease is renewed meanwhile."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Final

from agentsquad.schemas.tasks import FailNew, HeartbeatNew, ReleaseNew
from backend.core.errors import Archived, LostClaim, NotFound, SquadError
from backend.operations import steps, tasks
from backend.runner.errors import ModelFailed
from backend.runner.tools import Holder
from backend.runner.working import House, Over, Unhosted, Work

BEATS: Final = 3  # heartbeats in the time of a lease
STOPS: Final = "The runner stops; another one goes on from the last step."
UNHOSTED: Final = "The server doesn't run this member any more."
log = logging.getLogger(__name__)


class Attempt:
    """A claim of a hosted member, until it has ended.

    Args:
        house: what it shares with the others.
        holder: the member and its claim.
        claim: as `tasks.claim` answered it.
    """

    def __init__(self, house: House, holder: Holder, claim: Mapping[str, Any]) -> None:
        self._database = house.database
        self._holder = holder
        self._claim = claim
        self._work = Work(house, holder, claim)
        self._working: asyncio.Task[None] | None = None
        self._draining = False

    async def run(self) -> None:
        """Work until the attempt has ended, whoever ends it.

        Nothing that goes wrong leaves here: it ends the attempt with a reason, and what isn't known is logged.
        """
        self._working = asyncio.create_task(self._work.do())
        beat = asyncio.create_task(self._beat())
        try:
            await self._working
        except asyncio.CancelledError:
            if self._draining:
                await self._give_back(STOPS)
        except (Over, LostClaim):
            pass
        except Unhosted:
            await self._give_back(UNHOSTED)
        except ModelFailed as error:
            if error.setup:
                await self._suspend(error.detail)
            else:
                await self._give_up(error.detail, retry=error.passing)
        except SquadError as error:
            log.warning("#%s stopped: %s", self._holder.number, error.detail)
            await self._give_up(error.detail, retry=True)
        except Exception:
            log.exception("The attempt %s of a hosted member failed.", self._holder.claim)
            await self._give_up("The runner has a defect; its log says more.", retry=True)
        finally:
            beat.cancel()
            await asyncio.wait([beat])

    def lose(self) -> None:
        """Stop at once: the attempt was ended by somebody else."""
        if self._working:
            self._working.cancel()

    def drain(self) -> None:
        """Stop at once, and give the claim back."""
        self._draining = True
        self.lose()

    async def _give_up(self, reason: str, *, retry: bool = False) -> None:
        """End the attempt with a reason. A review can't fail: whoever reviews is paused instead."""
        if self._claim["kind"] == "review":
            await self._suspend(reason)
            return
        with contextlib.suppress(SquadError):  # it has ended already, or lapses
            given = FailNew(claim=self._holder.claim, reason=reason, retry=retry)
            await self._work.journal.transact(tasks.fail, self._holder.number, given)

    async def _suspend(self, reason: str) -> None:
        with contextlib.suppress(SquadError):
            await self._work.journal.transact(steps.suspend, self._holder.claim, reason)

    async def _give_back(self, reason: str) -> None:
        with contextlib.suppress(SquadError):
            given = ReleaseNew(claim=self._holder.claim, reason=reason)
            await self._work.journal.transact(tasks.release, self._holder.number, given)

    async def _beat(self) -> None:
        """Renew the lease for as long as the attempt is live."""
        given = HeartbeatNew(claim=self._holder.claim)
        while True:
            await asyncio.sleep(self._claim["lease_seconds"] / BEATS)
            try:
                holder = self._holder
                await self._database.transact(tasks.heartbeat, holder.actor, holder.squad, holder.number, given)
            except (LostClaim, NotFound, Archived):
                self.lose()
            except SquadError as error:
                log.warning("The lease of %s could not be renewed: %s", self._holder.claim, error.detail)
