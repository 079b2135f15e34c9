"""Reads of the board."""

from dataclasses import dataclass
from typing import Any, Final, cast

from sqlalchemy import (
    ColumnElement,
    Table,
    any_,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import array

from agentsquad.schemas import limits
from backend.core.statements import AnySelect, Query, chosen
from backend.models import Attempt, Dependency, Event, Member, Squad, Task
from backend.operations import access, documents
from backend.operations.access import Actor, SquadRef

_TASK: Final = cast("Table", Task.__table__)
OPEN: Final = ("in_progress", "in_review", "blocked", "todo")
ENDED: Final = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page of tasks is chosen by; None: by anything."""

    status: str | None = None
    role: str | None = None
    assignee: str | None = None
    holder: str | None = None
    parent: int | None = None


def get(actor: Actor, squad: SquadRef, number: int) -> AnySelect:
    """A task, whole, as one JSON value."""
    return select(func.task_json(_TASK.table_valued()).label("task")).where(
        Task.squad_id == access.scope(actor, squad), Task.number == number
    )


def why(actor: Actor, squad: SquadRef, number: int) -> AnySelect:
    """What a task waits for, as one JSON value."""
    return select(func.why_task(_TASK.table_valued()).label("why")).where(
        Task.squad_id == access.scope(actor, squad), Task.number == number
    )


def attempts(actor: Actor, squad: SquadRef, number: int) -> AnySelect:
    """All attempts at a task, in order."""
    item = (
        select(
            Attempt.attempt,
            Attempt.kind,
            Member.name.label("member"),
            Attempt.lease_seconds,
            Attempt.paths,
            Attempt.outcome,
            Attempt.reason,
            Attempt.started_at,
            Attempt.ended_at,
        )
        .join(Member, (Member.squad_id == Attempt.squad_id) & (Member.id == Attempt.member_id))
        .where(Attempt.squad_id == Task.squad_id, Attempt.task_number == Task.number)
        .order_by(Attempt.attempt)
        .correlate(Task)
        .lateral("item")
    )
    listed = documents.items(item).lateral("listed")
    return (
        select(listed.c["items"])
        .select_from(Task)
        .where(Task.squad_id == access.scope(actor, squad), Task.number == number)
    )


def questions(actor: Actor, squad: SquadRef, limit: int) -> AnySelect:
    """The tasks that wait for oneself, a person, to answer them; by number."""
    item = (
        select(func.task_json(_TASK.table_valued()).label("task"), Task.number)
        .where(Task.squad_id == Member.squad_id, Task.assignee_id == Member.id, Task.status == _literal("todo"))
        .order_by(Task.number)
        .limit(limit)
        .correlate(Member)
        .lateral("item")
    )
    listed = documents.page(item, item.c.number, limit, documents.array(item.c.task)).lateral("listed")
    return (
        select(listed.c["items"], listed.c.next)
        .select_from(Member)
        .join(Squad, Squad.id == Member.squad_id)
        .where(
            Member.squad_id == access.scope(actor, squad),
            Member.retired_at.is_(None),
            Member.kind == "person",
            access.is_acting(actor, Member, Squad),
        )
    )


@chosen
def page(*by: str) -> Query:
    """Tasks of a squad by number.

    Args:
        by: the fields of `Wanted` that count. Each choice is a statement of its own, with its own plan.
    """

    def query(actor: Actor, squad: SquadRef, wanted: Wanted, after: int, limit: int) -> AnySelect:
        conditions: dict[str, ColumnElement[bool]] = {
            "status": Task.status == wanted.status,
            "role": Task.role == wanted.role,
            "assignee": Task.assignee_id == _id(wanted.assignee),
            "holder": Task.holder_id == _id(wanted.holder),
            "parent": Task.parent == wanted.parent,
        }
        item = (
            select(func.task_json(_TASK.table_valued()).label("task"), Task.number)
            .where(Task.squad_id == Squad.id, Task.number > after, *(conditions[field] for field in by))
            .order_by(Task.number)
            .limit(limit)
            .correlate(Squad)
            .lateral("item")
        )
        listed = documents.page(item, item.c.number, limit, documents.array(item.c.task)).lateral("listed")
        return select(listed.c["items"], listed.c.next).select_from(Squad).where(Squad.id == access.scope(actor, squad))

    return query


def board(actor: Actor, squad: SquadRef) -> AnySelect:
    """What has not ended, and what ended last, a limited number of each status; and the log's position."""
    shown = [_numbers(status, limits.CARDS) for status in OPEN]
    shown += [_numbers(status, limits.ENDED, newest=True) for status in ENDED]
    card = (
        select(
            Task.number,
            Task.title,
            Task.status,
            Task.blocked_on,
            Task.role,
            _name(Task.assignee_id).label("assignee"),
            Task.review,
            _name(Task.holder_id).label("holder"),
            Task.attempt,
            Task.lease_ends_at,
            Task.tries_left,
            Task.priority,
            _depends_on().label("depends_on"),
            Task.parent,
            _paths().label("paths"),
            Task.updated_at,
        )
        .where(Task.squad_id == Squad.id, or_(*(Task.number == any_(func.array(numbers)) for numbers in shown)))
        .order_by(Task.number)
        .correlate(Squad)
        .subquery("card")
    )
    cards = select(documents.array(card.table_valued())).select_from(card).scalar_subquery()
    last = select(func.coalesce(func.max(Event.position), 0)).where(Event.squad_id == Squad.id).correlate(Squad)
    more = [case((_more(status), status)) for status in OPEN]
    return select(
        Squad.id.label("squad"),
        Squad.name,
        Squad.paused_at.is_not(None).label("paused"),
        last.scalar_subquery().label("last"),
        cards.label("tasks"),
        func.array_remove(array(more), None).label("more"),
    ).where(Squad.id == access.scope(actor, squad))


def claimable(actor: Actor, squad: SquadRef) -> AnySelect:
    """Whether there is something that one could claim: a row, or none. It locks nothing."""
    mine = (
        select(Member.squad_id, Member.id, Member.role)
        .join(Squad, Squad.id == Member.squad_id)
        .where(
            Member.squad_id == access.scope(actor, squad),
            Member.retired_at.is_(None),
            Member.paused_at.is_(None),
            Squad.paused_at.is_(None),
            access.is_acting(actor, Member, Squad),
        )
        .limit(1)  # one acts as one member; the planner, which can't know, would ask for all of the squad's
        .subquery("mine")
    )
    todo, review = _literal("todo"), _literal("in_review")
    ranges = (
        (Task.status == todo, Task.assignee_id.is_not(None), Task.assignee_id == mine.c.id),
        (Task.status == todo, Task.assignee_id.is_(None), Task.role == mine.c.role),
        (Task.status == todo, Task.assignee_id.is_(None), Task.role == ""),
        *(
            (
                Task.status == review,
                Task.holder_id.is_(None),
                Task.review == role,
                Task.worker_id.is_distinct_from(mine.c.id),
            )
            for role in (mine.c.role, "")
        ),
    )
    return select(mine.c.id).where(
        or_(*(exists().where(Task.squad_id == mine.c.squad_id, *conditions) for conditions in ranges))
    )


def _literal(status: str) -> ColumnElement[str]:
    """A status as it stands in the predicates of the partial indexes, which a parameter would defeat."""
    return literal_column(f"'{status}'")


def _numbers(status: str, most: int, *, newest: bool = False) -> Any:
    order = Task.number.desc() if newest else Task.number
    numbers = select(Task.number).where(Task.squad_id == Squad.id, Task.status == _literal(status))
    return numbers.order_by(order).limit(most).correlate(Squad).scalar_subquery()


def _more(status: str) -> ColumnElement[bool]:
    beyond = select(Task.number).where(Task.squad_id == Squad.id, Task.status == _literal(status))
    return beyond.offset(limits.CARDS).limit(1).correlate(Squad).exists()


def _id(name: Any) -> Any:
    member = select(Member.id).where(Member.squad_id == Squad.id, Member.name == name)
    return member.correlate(Squad).scalar_subquery()


def _name(member_id: Any) -> Any:
    named = select(Member.name).where(Member.squad_id == Task.squad_id, Member.id == member_id)
    return named.correlate(Task).scalar_subquery()


def _depends_on() -> Any:
    edges = select(documents.array(Dependency.depends_on)).where(
        Dependency.squad_id == Task.squad_id, Dependency.task_number == Task.number
    )
    return edges.correlate(Task).scalar_subquery()


def _paths() -> Any:
    reserved = select(Attempt.paths).where(
        Attempt.squad_id == Task.squad_id,
        Attempt.task_number == Task.number,
        Attempt.attempt == Task.attempt,
        Task.holder_id.is_not(None),
    )
    return func.coalesce(reserved.correlate(Task).scalar_subquery(), literal_column("'{}'"))
