"""The board: making tasks, claiming them, and what a holder does with them.

Claim, heartbeat, complete and fail are SQL functions, one round trip each; their `.sql` lies beside this
file. What they answer is JSON that PostgreSQL built, in the shapes of agentsquad/schemas/tasks.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Table, Text, any_, case, func, literal_column, or_, select, text, true
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.tasks import CompleteNew, FailNew, HeartbeatNew, TaskNew
from backend.core.errors import Invalid
from backend.core.statements import AnySelect
from backend.models import Dependency, Event, Member, Squad, Task
from backend.operations import access, events
from backend.operations.access import ARGUMENTS, Actor, Entered, SquadRef

_TASK = cast("Table", Task.__table__)
RECENT = 50  # ended tasks that the board still shows
LAPSE_WAIT = "500ms"


def get(actor: Actor, squad: SquadRef, number: int) -> AnySelect:
    """A task, whole, as one JSON value."""
    return select(func.task_json(_TASK.table_valued()).label("task")).where(
        Task.squad_id == access.scope(actor, squad), Task.number == number
    )


def page(actor: Actor, squad: SquadRef, status: str | None, after: int, limit: int) -> AnySelect:
    """Tasks of a squad by number.

    Args:
        actor: who asks.
        squad: which squad.
        status: only those in it; None for all.
        after: the number that the last page ended with; 0 for the first.
        limit: how many at most.
    """
    found = (
        select(Task)
        .where(Task.squad_id == Squad.id, Task.number > after, Task.status == func.coalesce(status, Task.status))
        .order_by(Task.number)
        .limit(limit)
        .correlate(Squad)
        .lateral("found")
    )
    listed = (
        select(
            _array(func.task_json(found.table_valued())).label("items"),
            case((func.count() == limit, func.max(found.c.number).cast(Text))).label("next"),
        )
        .select_from(found)
        .lateral("listed")
    )
    return select(listed.c["items"], listed.c.next).select_from(Squad).where(Squad.id == access.scope(actor, squad))


def board(actor: Actor, squad: SquadRef) -> AnySelect:
    """Every task that is not done, and those that were done last; and the log's position that this shows."""
    done: ColumnElement[str] = literal_column("'done'")
    recent = (
        select(Task.number)
        .where(Task.squad_id == Squad.id, Task.status == done)
        .order_by(Task.number.desc())
        .limit(RECENT)
        .correlate(Squad)
        .scalar_subquery()
    )
    card = (
        select(
            Task.number,
            Task.title,
            Task.status,
            Task.blocked_on,
            Task.role,
            _name(Task.assignee_id).label("assignee"),
            _name(Task.holder_id).label("holder"),
            Task.attempt,
            Task.lease_ends_at,
            Task.tries_left,
            Task.priority,
            _depends_on().label("depends_on"),
            Task.updated_at,
        )
        .where(Task.squad_id == Squad.id, or_(Task.status != done, Task.number == any_(func.array(recent))))
        .order_by(Task.number)
        .correlate(Squad)
        .subquery("card")
    )
    cards = select(_array(card.table_valued())).select_from(card).scalar_subquery()
    last = select(func.coalesce(func.max(Event.position), 0)).where(Event.squad_id == Squad.id).correlate(Squad)
    return select(
        Squad.id.label("squad"), Squad.name, last.scalar_subquery().label("last"), cards.label("tasks")
    ).where(Squad.id == access.scope(actor, squad))


def _name(member_id: Any) -> Any:
    named = select(Member.name).where(Member.squad_id == Task.squad_id, Member.id == member_id)
    return named.correlate(Task).scalar_subquery()


def _depends_on() -> Any:
    edges = select(_array(Dependency.depends_on)).where(
        Dependency.squad_id == Task.squad_id, Dependency.task_number == Task.number
    )
    return edges.correlate(Task).scalar_subquery()


def _array(value: Any) -> Any:
    return func.coalesce(func.json_agg(value), func.json_build_array())


async def create(session: AsyncSession, actor: Actor, squad: SquadRef, new: Sequence[TaskNew]) -> str:
    """Make a batch of tasks with their edges: all of it, or nothing. Answers the tasks as a JSON array.

    Raises:
        NotFound: no such squad.
        Invalid: an assignee or a dependency that doesn't exist, a key given twice, or a cycle.
    """
    entered = await access.enter(session, actor, squad)
    keys = _keys(new)
    known = await _known(session, entered, new)
    rows: list[dict[str, Any]] = []
    edges: list[list[int]] = []
    for index, task in enumerate(new):
        number = known.last + 1 + index
        depends_on = {
            known.last + 1 + keys[name] if isinstance(name, str) else name
            for name in _checked(task, index, keys, known)
        }
        waits = any(other > known.last or known.statuses[other] != "done" for other in depends_on)
        edges.extend([number, other] for other in depends_on)
        rows.append(
            task.model_dump(include={"title", "description", "input", "role", "priority"})
            | {
                "number": number,
                "assignee_id": known.members.get(task.assignee) if task.assignee else None,
                "status": "blocked" if waits else "todo",
                "blocked_on": "dependencies" if waits else None,
            }
        )
    made: str = await _function(
        session,
        "create_tasks(:squad, :creator, CAST(:actor AS jsonb), :tries, CAST(:tasks AS jsonb), CAST(:edges AS jsonb))",
        {
            "squad": entered.squad_id,
            "creator": entered.member_id,
            "actor": events.dumps(entered.actor),
            "tries": entered.max_tries,
            "tasks": events.dumps(rows),
            "edges": events.dumps(edges),
        },
    )
    return made


@dataclass(frozen=True, slots=True)
class _Known:
    """What a batch refers to and is there already."""

    last: int
    members: dict[str, str]
    statuses: dict[int, str]


async def _known(session: AsyncSession, entered: Entered, new: Sequence[TaskNew]) -> _Known:
    names = {task.assignee for task in new if task.assignee}
    numbers = {item for task in new for item in task.depends_on if isinstance(item, int)}
    last = select(func.coalesce(func.max(Task.number), 0)).where(Task.squad_id == entered.squad_id)
    members = select(func.json_object_agg(Member.name, Member.id)).where(
        Member.squad_id == entered.squad_id, Member.name == func.any(sorted(names)), Member.retired_at.is_(None)
    )
    statuses = select(func.json_object_agg(Task.number, Task.status)).where(
        Task.squad_id == entered.squad_id, Task.number == func.any(sorted(numbers))
    )
    row = (
        await session.execute(select(last.scalar_subquery(), members.scalar_subquery(), statuses.scalar_subquery()))
    ).one()
    return _Known(row[0], row[1] or {}, {int(number): status for number, status in (row[2] or {}).items()})


def _keys(new: Sequence[TaskNew]) -> dict[str, int]:
    """Where in the batch each key stands; the batch holds no cycle."""
    keys: dict[str, int] = {}
    for index, task in enumerate(new):
        if task.key is not None and keys.setdefault(task.key, index) != index:
            raise Invalid(f"The key {task.key} is given twice.", field=f"body.tasks.{index}.key")
    graph = {
        index: [keys[name] for name in task.depends_on if isinstance(name, str) and name in keys]
        for index, task in enumerate(new)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = [str(new[index].key) for index in error.args[1]]
        raise Invalid(
            f"The dependencies run in a circle: {' → '.join(circle)}.",
            field=f"body.tasks.{error.args[1][0]}.depends_on",
        ) from None
    return keys


def _checked(task: TaskNew, index: int, keys: dict[str, int], known: _Known) -> list[int | str]:
    """The task's dependencies, all of which exist; so does its assignee."""
    if task.assignee and task.assignee not in known.members:
        raise Invalid(f"There is no member {task.assignee}.", field=f"body.tasks.{index}.assignee")
    for place, item in enumerate(task.depends_on):
        if item not in keys and item not in known.statuses:
            what = (
                f"No task of this batch has the key {item}." if isinstance(item, str) else f"There is no task #{item}."
            )
            raise Invalid(what, field=f"body.tasks.{index}.depends_on.{place}")
    return list(task.depends_on)


async def claim(session: AsyncSession, actor: Actor, squad: SquadRef, number: int | None = None) -> str | None:
    """Claim a task by its number, or the next one that matches. Answers a `Claim` as JSON; None: nothing to do.

    Raises:
        NotFound: no such squad or task.
        WrongStatus: the task named is not in `todo`.
        Forbidden: it is for another member or role.
    """
    claimed: str | None = await _function(
        session, f"claim_task({ARGUMENTS}, :number)", access.arguments(actor, squad) | {"number": number}
    )
    return claimed


async def heartbeat(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: HeartbeatNew) -> str:
    """Extend the lease of a live claim. Answers a `Heartbeat` as JSON.

    Raises:
        LostClaim: the claim is no longer live, or somebody else's.
    """
    return await _held(session, "heartbeat_task", actor, squad, number, given)


async def complete(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: CompleteNew) -> str:
    """Hand in the result of a live claim and free what waited for it. Answers the `Task` as JSON.

    Raises:
        LostClaim: the claim is no longer live, or somebody else's.
    """
    return await _held(
        session,
        "complete_task",
        actor,
        squad,
        number,
        given,
        "CAST(:result AS jsonb)",
        result=events.dumps(given.result),
    )


async def fail(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: FailNew) -> str:
    """End a live claim without a result. Answers the `Task` as JSON.

    Raises:
        LostClaim: the claim is no longer live, or somebody else's.
    """
    return await _held(
        session, "fail_task", actor, squad, number, given, ":reason", ":retry", reason=given.reason, retry=given.retry
    )


async def lapse(session: AsyncSession, squad_id: UUID) -> int:
    """Take back what is over in one squad, unless somebody is writing to it. Answers how many."""
    # Whoever holds only a task's row is no server; other squads don't wait for it as long as a request would.
    impatient = func.set_config("lock_timeout", LAPSE_WAIT, true())
    free = select(Squad.id, impatient).where(Squad.id == squad_id).with_for_update(key_share=True, skip_locked=True)
    if await session.scalar(free) is None:
        return 0
    return int(await session.scalar(select(func.lapse_tasks(squad_id))) or 0)


def over() -> AnySelect:
    """The squads in which a lease is over. Asked by the server itself, for nobody."""
    return select(Task.squad_id).where(Task.lease_ends_at <= func.statement_timestamp()).distinct()


async def _held(
    session: AsyncSession,
    function: str,
    actor: Actor,
    squad: SquadRef,
    number: int,
    given: HeartbeatNew | CompleteNew | FailNew,
    *more: str,
    **values: object,
) -> str:
    task, attempt = map(int, given.claim.split("/"))
    if task != number:
        raise Invalid(f"The claim {given.claim} is not one of #{number}.", field="body.claim")
    call = f"{function}({', '.join([ARGUMENTS, ':number', ':attempt', *more])})"
    held: str = await _function(
        session, call, access.arguments(actor, squad) | {"number": number, "attempt": attempt} | values
    )
    return held


async def _function(session: AsyncSession, call: str, values: dict[str, Any]) -> Any:
    return await session.scalar(text(f"SELECT {call}::text"), values)
