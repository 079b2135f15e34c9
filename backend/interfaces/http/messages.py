"""Messages and inboxes over HTTP."""

from typing import Annotated

from fastapi import Query, Response

from agentsquad.schemas import limits
from agentsquad.schemas.fields import Part
from agentsquad.schemas.messages import AcknowledgeNew, Inbox, MessageNew, Messages, MessageSent, ReadNew, Unread
from backend.interfaces.http import answers
from backend.interfaces.http.dependencies import Db, InSquad, Number, Who, Writes
from backend.interfaces.http.errors import Router
from backend.operations import messages
from backend.operations.access import MemberRef

router = Router(prefix="/squads/{squad}", tags=["messages"])
Limit = Annotated[int, Query(ge=1, le=limits.PAGE_MAX)]
Cursor = Annotated[int, Query(ge=0, le=limits.POSITION_MAX)]


@router.get("/messages", response_model=Messages)
async def messages_page(
    database: Db, actor: Who, squad: InSquad, limit: Limit = limits.PAGE, cursor: Cursor = 0
) -> Response:
    """All messages of a squad, oldest first."""
    body = await database.reads.json(messages.page(), actor, squad, cursor, limit, None)
    return answers.found(body, answers.NO_SQUAD)


@router.get("/tasks/{number:digits}/messages", response_model=Messages)
async def messages_thread(
    database: Db, actor: Who, squad: InSquad, number: Number, limit: Limit = limits.PAGE, cursor: Cursor = 0
) -> Response:
    """A task's thread, oldest first."""
    body = await database.reads.json(messages.page("task"), actor, squad, cursor, limit, number)
    return answers.found(body, answers.NO_TASK)


@router.post("/messages", response_model=MessageSent, status_code=201)
async def messages_send(writer: Writes, squad: InSquad, new: MessageNew) -> Response:
    """Send a message: to a member, to a task's thread, or to all."""
    return await writer.write(
        messages.send, squad, new, show=lambda sent: messages.sent(writer.actor, squad, *sent), status=201
    )


@router.get("/members/{member}/inbox", response_model=Inbox)
async def messages_inbox(
    database: Db,
    actor: Who,
    squad: InSquad,
    member: Part,
    unread: Annotated[bool, Query(description="Only those that were not read.")] = False,
    limit: Limit = limits.PAGE,
    cursor: Cursor = 0,
) -> Response:
    """A member's messages, oldest first; `me` is oneself. Looking marks nothing as read."""
    query = messages.inbox("unread") if unread else messages.inbox()
    return answers.found(
        await database.reads.json(query, actor, squad, MemberRef.parse(member), cursor, limit), answers.NO_MEMBER
    )


@router.post("/members/{member}/read", response_model=Unread)
async def messages_mark_read(writer: Writes, squad: InSquad, member: Part, given: ReadNew) -> Response:
    """Note that one has read one's messages up to a position."""
    return await writer.write(messages.mark_read, squad, member, given)


@router.post("/members/{member}/ack", response_model=Unread)
async def messages_acknowledge(writer: Writes, squad: InSquad, member: Part, given: AcknowledgeNew) -> Response:
    """Note that messages of one's own were taken care of; they are read then, too."""
    return await writer.write(messages.acknowledge, squad, member, given)
