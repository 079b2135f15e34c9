"""What a member is told: of its task, and of what is written to it meanwhile. What it was told it has acknowledged."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.messages import AcknowledgeNew
from backend.operations import members, messages
from backend.operations.access import ME, MemberRef
from backend.runner import prompts
from backend.runner.journal import Journal
from backend.runner.tools import Holder

NEWS: Final = 20  # messages that a model is told at once
THREAD: Final = 20  # messages of the task's thread that come with it
# How an attempt ended whose conversation goes on as if nothing had been: the model needn't hear of it.
UNNOTICED: Final = ("lapsed", "released", "paused", "blocked")


class Telling:
    """Tells it, by the journal.

    Args:
        journal: of the attempt.
        holder: who holds it.
        me: the member, as `members.me` answers it.
    """

    def __init__(self, journal: Journal, holder: Holder, me: Mapping[str, Any]) -> None:
        self._journal = journal
        self._holder = holder
        self._me = me

    async def task(self, claim: Mapping[str, Any]) -> None:
        """Tell of the task, unless the member goes on where another runner was stopped, and finds it unchanged.

        Args:
            claim: as `tasks.claim` answered it.
        """
        before = self._journal.before
        unnoticed = all(each["outcome"] in UNNOTICED for each in self._journal.since)
        if before and unnoticed and prompts.stands(self._journal.told, claim["task"]):
            return
        again = before is not None and before["member"] == self._me["name"]
        team = await self._journal.items(members.team)
        thread = await self._journal.items(messages.thread_end, self._holder.number, THREAD)
        text = prompts.task(claim, self._me, team, thread, again=again)
        mine = [each for each in thread if self._me["name"] in each["recipients"]]
        await self._journal.hear({"text": text, "new": not again}, self._acknowledged(mine))

    async def news(self) -> None:
        """Tell what was written to the member meanwhile: about this task, or about none."""
        inbox = messages.inbox("unread", "task")
        unread = await self._journal.items(inbox, MemberRef(None, ME), 0, NEWS, self._holder.number)
        if unread:
            await self._journal.hear({"text": prompts.news(unread)}, self._acknowledged(unread))

    def _acknowledged(self, told: list[dict[str, Any]]) -> Callable[[AsyncSession], Awaitable[Any]]:
        holder = self._holder

        async def acknowledge(session: AsyncSession) -> None:
            if told:
                given = AcknowledgeNew(messages=[each["position"] for each in told])
                await messages.acknowledge(session, holder.actor, holder.squad, ME, given)

        return acknowledge
