"""Messages: to a member, to a task's thread, or to all; and each recipient's inbox."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, Uuid, case, cast, exists, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from agentsquad.schemas.fields import parts_of
from agentsquad.schemas.messages import AcknowledgeNew, MessageNew, ReadNew
from backend.core.errors import Forbidden, Invalid, NotFound
from backend.core.jsons import dumps
from backend.core.statements import AnySelect, Query, chosen
from backend.models import Member, Message, Recipient, Squad, Task
from backend.operations import documents, events, members
from backend.operations.access import ME, Actor, Entered, MemberRef, SquadRef, enter, is_meant, scope
from backend.operations.functions import call


@chosen
def page(*by: str) -> Query:
    """Messages of a squad, oldest first.

    Args:
        by: `task` for one task's thread. Each choice is a statement of its own, with its own plan.
    """

    def query(actor: Actor, squad: SquadRef, after: int, limit: int, task: int | None = None) -> AnySelect:
        found = _messages().where(Message.squad_id == Squad.id, Message.position > after)
        if "task" in by:
            found = found.where(Message.task_number == task)
        item = found.order_by(Message.position).limit(limit).correlate(Squad).lateral("item")
        listed = documents.page(item, item.c.position, limit).lateral("listed")
        page = select(listed.c["items"], listed.c.next).select_from(Squad).where(Squad.id == scope(actor, squad))
        there = exists().where(Task.squad_id == Squad.id, Task.number == task)
        return page.where(there) if "task" in by else page

    return query


def sent(actor: Actor, squad: SquadRef, position: int, member_id: UUID) -> AnySelect:
    """A message that a member has just sent, and how many wait for that member."""
    return _messages(func.unread_messages(Message.squad_id, cast(member_id, Uuid)).label("unread")).where(
        Message.squad_id == scope(actor, squad), Message.position == position
    )


@chosen
def inbox(*by: str) -> Query:
    """A member's messages, oldest first, and how many are unread.

    Args:
        by: `unread` for those only that are; `task` for those about one task, or about none.
    """

    def query(
        actor: Actor, squad: SquadRef, member: MemberRef, after: int, limit: int, task: int | None = None
    ) -> AnySelect:
        found = _received().where(Recipient.position > after)
        if "unread" in by:
            found = found.where(Recipient.read_at.is_(None))
        if "task" in by:
            found = found.where(Message.task_number.is_(None) | (Message.task_number == task))
        item = found.order_by(Recipient.position).limit(limit).correlate(Member).lateral("item")
        return _inbox(actor, squad, member, documents.page(item, item.c.position, limit))

    return query


def latest(actor: Actor, squad: SquadRef, member: MemberRef, before: int, limit: int) -> AnySelect:
    """A member's messages before a position, newest first, and how many are unread."""
    found = _received().where(Recipient.position < before)
    item = found.order_by(Recipient.position.desc()).limit(limit).correlate(Member).lateral("item")
    oldest = case((func.count() == limit, cast(func.min(item.c.position), Text)))
    return _inbox(actor, squad, member, documents.items(item).add_columns(oldest.label("next")))


def thread_end(actor: Actor, squad: SquadRef, task: int, limit: int) -> AnySelect:
    """The last messages of a task's thread, oldest first."""
    last = (
        _messages()
        .where(Message.squad_id == Squad.id, Message.task_number == task)
        .order_by(Message.position.desc())
        .limit(limit)
        .correlate(Squad)
        .subquery("last")
    )
    item = select(last).order_by(last.c.position).lateral("item")
    listed = documents.items(item).lateral("listed")
    return select(listed.c["items"]).select_from(Squad).where(Squad.id == scope(actor, squad))


def _received() -> AnySelect:
    return (
        select(
            Message.position,
            _name(Message.sender_id).label("sender"),
            _name(Message.member_id).label("to"),
            Message.task_number.label("task"),
            Message.body,
            Message.sent_at.label("at"),
            Recipient.read_at,
            Recipient.acknowledged_at,
        )
        .select_from(Recipient)
        .join(Message, (Message.squad_id == Recipient.squad_id) & (Message.position == Recipient.position))
        .where(Recipient.squad_id == Member.squad_id, Recipient.member_id == Member.id)
    )


def _inbox(actor: Actor, squad: SquadRef, member: MemberRef, page: AnySelect) -> AnySelect:
    listed = page.lateral("listed")
    unread = func.unread_messages(Member.squad_id, Member.id).label("unread")
    return (
        select(listed.c["items"], unread, listed.c.next)
        .select_from(Member)
        .join(Squad, Squad.id == Member.squad_id)
        .where(Member.squad_id == scope(actor, squad), is_meant(actor, member, Member, Squad))
    )


async def send(session: AsyncSession, actor: Actor, squad: SquadRef, new: MessageNew) -> tuple[int, UUID]:
    """Send a message. Answers its position and its sender.

    Raises:
        NotFound: no such squad.
        Invalid: no recipient, `all` besides another one, or one that doesn't exist.
        LostClaim: a claim was given that is no longer live.
    """
    entered = await enter(session, actor, squad)
    if new.all == (new.to is not None or new.task is not None):
        raise Invalid("Name a member in `to`, a task in `task`, or set `all`.", field="body.to")
    to = await members.of_name(session, entered, new.to, "body.to") if new.to is not None else None
    if new.task is not None and await session.get(Task, (entered.squad_id, new.task)) is None:
        raise Invalid(f"There is no task #{new.task}.", field="body.task")
    await require_live(session, entered, new.claim)
    position = await call(
        session,
        "send_message(:squad, CAST(:actor AS jsonb), :sender, CAST(:to AS uuid), CAST(:task AS int), :body)",
        squad=entered.squad_id,
        actor=dumps(entered.actor),
        sender=entered.member_id,
        to=to and to.id,
        task=new.task,
        body=new.body,
    )
    return int(position), entered.member_id


async def require_live(session: AsyncSession, entered: Entered, claim: str | None) -> None:
    """A claim that is given has to be live.

    Raises:
        LostClaim: it is not.
    """
    if claim is not None:
        task, attempt = parts_of(claim)
        hold = text("SELECT hold_task(:squad, :member, :task, :attempt, '{in_progress,in_review}')")
        values = {"squad": entered.squad_id, "member": entered.member_id, "task": task, "attempt": attempt}
        await session.execute(hold, values)


async def mark_read(session: AsyncSession, actor: Actor, squad: SquadRef, member: str, given: ReadNew) -> str:
    """Note that one has read one's messages up to a position. No event. Answers `Unread` as JSON.

    Raises:
        NotFound: no such squad.
        Forbidden: it is somebody else's inbox.
    """
    entered = await _own(session, actor, squad, member, lock=False)
    mine = (Recipient.squad_id == entered.squad_id, Recipient.member_id == entered.member_id)
    await session.execute(
        update(Recipient)
        .where(*mine, Recipient.read_at.is_(None), Recipient.position <= given.up_to)
        .values(read_at=func.clock_timestamp())
    )
    return await _unread(session, entered)


async def acknowledge(session: AsyncSession, actor: Actor, squad: SquadRef, member: str, given: AcknowledgeNew) -> str:
    """Note that messages of one's own were taken care of. Answers `Unread` as JSON. Doing it twice is no error.

    Raises:
        NotFound: no such squad, or no such message in the inbox.
        Forbidden: it is somebody else's inbox.
    """
    entered = await _own(session, actor, squad, member)
    wanted = sorted(set(given.messages))
    rows = await session.scalars(
        select(Recipient).where(
            Recipient.squad_id == entered.squad_id,
            Recipient.member_id == entered.member_id,
            Recipient.position == func.any(wanted),
        )
    )
    found = {row.position: row for row in rows}
    missing = [position for position in wanted if position not in found]
    if missing:
        raise NotFound(f"There is no message {missing[0]} in the inbox of {entered.member_name}.")
    now = await members.clock(session)
    new = [position for position in wanted if found[position].acknowledged_at is None]
    for position in new:
        found[position].acknowledged_at = now
        found[position].read_at = found[position].read_at or now
    await session.flush()
    told: list[events.Change] = [
        {
            "kind": "message.acknowledged",
            "data": {"message": position, "member": entered.member_name, "acknowledged_at": now},
        }
        for position in new
    ]
    if told:
        await events.append(session, entered.squad_id, entered.actor, told)
    return await _unread(session, entered)


async def _own(session: AsyncSession, actor: Actor, squad: SquadRef, member: str, *, lock: bool = True) -> Entered:
    entered = await enter(session, actor, squad, lock=lock)
    if member not in (ME, entered.member_name, str(entered.member_id)):
        raise Forbidden("Only the member itself marks its messages.")
    return entered


async def _unread(session: AsyncSession, entered: Entered) -> str:
    count = await session.scalar(select(func.unread_messages(entered.squad_id, entered.member_id)))
    return f'{{"unread":{count}}}'


def _messages(*more: Any) -> AnySelect:
    """Messages as anybody in the squad sees them."""
    recipient = (
        select(Member.name)
        .join(Recipient, (Recipient.squad_id == Member.squad_id) & (Recipient.member_id == Member.id))
        .where(Recipient.squad_id == Message.squad_id, Recipient.position == Message.position)
        .order_by(Member.name)
        .correlate(Message)
        .scalar_subquery()
    )
    return select(
        Message.position,
        _name(Message.sender_id).label("sender"),
        _name(Message.member_id).label("to"),
        Message.task_number.label("task"),
        Message.body,
        func.array(recipient).label("recipients"),
        Message.sent_at.label("at"),
        *more,
    )


def _name(member_id: Any) -> ColumnElement[str]:
    named = aliased(Member)
    return (
        select(named.name)
        .where(named.squad_id == Message.squad_id, named.id == member_id)
        .correlate(Message)
        .scalar_subquery()
    )
