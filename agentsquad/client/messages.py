"""Messages and one's inbox."""

from agentsquad.client.errors import checked
from agentsquad.client.wire import Wire
from agentsquad.schemas import limits
from agentsquad.schemas.messages import (
    AcknowledgeNew,
    Inbox,
    Message,
    MessageNew,
    Messages,
    MessageSent,
    ReadNew,
    Unread,
)


class MessageCalls(Wire):
    """What is asked of messages."""

    async def send(
        self,
        body: str,
        *,
        to: str | None = None,
        task: int | None = None,
        all: bool = False,  # noqa: A002  (the field's name)
        claim: str | None = None,
    ) -> MessageSent:
        """Send a message: to a member, to a task's thread, or to all. A claim that is given has to be live."""
        new = checked(MessageNew, body=body, to=to, task=task, all=all, claim=claim)
        return await self._ask(MessageSent, "POST", await self._path("messages"), new)

    async def messages(self) -> list[Message]:
        """All messages of the squad, oldest first."""
        return [message async for message in self._items(Messages, await self._path("messages"))]

    async def inbox(
        self, member: str = "me", *, unread: bool = False, limit: int = limits.PAGE, cursor: str | None = None
    ) -> Inbox:
        """A page of a member's messages, oldest first; by default one's own. Looking marks nothing as read."""
        path = await self._path("members", member, "inbox")
        query = {"unread": unread or None, "limit": limit, "cursor": cursor}
        return await self._ask(Inbox, "GET", path, query=query)

    async def thread(self, number: int) -> list[Message]:
        """A task's thread, oldest first."""
        return [message async for message in self._items(Messages, await self._path("tasks", number, "messages"))]

    async def mark_read(self, up_to: int) -> int:
        """Note that one has read one's messages up to a position. Answers how many are still unread."""
        path = await self._path("members", "me", "read")
        return (await self._ask(Unread, "POST", path, checked(ReadNew, up_to=up_to))).unread

    async def ack(self, *messages: int) -> int:
        """Note that messages of one's own were taken care of. Answers how many are still unread."""
        path = await self._path("members", "me", "ack")
        return (await self._ask(Unread, "POST", path, checked(AcknowledgeNew, messages=list(messages)))).unread
