"""Making tasks: batches with their edges, and questions to people."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.tasks import AskNew, TaskNew, WaitNew
from backend.core.errors import Conflict, Forbidden, Invalid
from backend.core.jsons import dumps
from backend.models import Member, Task
from backend.operations import access, members
from backend.operations.access import Actor, Entered, SquadRef
from backend.operations.functions import call
from backend.operations.messages import require_live
from backend.operations.tasks.holding import wait_for_children
from backend.operations.tasks.reading import ENDED


@dataclass(frozen=True, slots=True)
class _Known:
    """What a batch refers to and is there already."""

    last: int
    members: dict[str, str]
    statuses: dict[int, str]
    waiting: frozenset[int]  # parents that wait for their children


async def create(
    session: AsyncSession, actor: Actor, squad: SquadRef, new: Sequence[TaskNew], claim: str | None = None
) -> str:
    """Make a batch of tasks with their edges: all of it, or nothing. Answers `TasksMade` as JSON.

    Raises:
        NotFound: no such squad.
        Invalid: an assignee, a dependency or a parent that doesn't exist, a key given twice, or a cycle.
        Conflict: a child would wait for the parent that waits for it.
        LostClaim: a claim was given that is no longer live.
    """
    entered = await access.enter(session, actor, squad)
    await require_live(session, entered, claim)
    return await _make(session, entered, new)


async def ask(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: AskNew) -> str:
    """Ask a person and let the task wait for the answer: a child for that person. Answers `Asked` as JSON.

    Raises:
        NotFound: no such squad or task.
        LostClaim: the claim is no longer live, or somebody else's.
        WrongStatus: it is a review.
        Invalid: the member named is not there.
        Forbidden: it is no person.
    """
    entered = await access.enter(session, actor, squad)
    await require_live(session, entered, given.claim)
    if given.to is None:
        person = (
            await session.scalars(
                select(Member).where(Member.squad_id == entered.squad_id, Member.user_id == entered.owner_id)
            )
        ).one()
    else:
        person = await members.of_name(session, entered, given.to, "body.to")
    if person.kind != "person":
        raise Forbidden(f"{person.name} is no person; make a task for {person.name} instead.")
    question = TaskNew(
        title=given.question, description=given.details, input=given.input, assignee=person.name, parent=number
    )
    made = await _make(session, entered, [question])
    task = await wait_for_children(session, actor, squad, number, WaitNew(claim=given.claim))
    return f'{{"question":{dumps(json.loads(made)["items"][0])},"task":{task}}}'


async def _make(session: AsyncSession, entered: Entered, new: Sequence[TaskNew]) -> str:
    keys = _keys(new)
    known = await _known(session, entered, new)
    rows: list[dict[str, Any]] = []
    edges: list[list[int]] = []
    for index, task in enumerate(new):
        number = known.last + 1 + index
        _check(task, index, keys, known)
        depends_on = {_number(item, keys, known) for item in task.depends_on}
        waits = any(other > known.last or known.statuses[other] != "done" for other in depends_on)
        edges.extend([number, other] for other in depends_on)
        rows.append(
            task.model_dump(include={"title", "description", "input", "role", "review", "priority"})
            | {
                "number": number,
                "assignee_id": known.members.get(task.assignee) if task.assignee else None,
                "parent": None if task.parent is None else _number(task.parent, keys, known),
                "status": "blocked" if waits else "todo",
                "blocked_on": "dependencies" if waits else None,
            }
        )
    await _refuse_circles(session, entered, known, rows, edges)
    made: str = await call(
        session,
        "create_tasks(:squad, :creator, CAST(:actor AS jsonb), :tries, CAST(:tasks AS jsonb), CAST(:edges AS jsonb))",
        squad=entered.squad_id,
        creator=entered.member_id,
        actor=dumps(entered.actor),
        tries=entered.max_tries,
        tasks=dumps(rows),
        edges=dumps(edges),
    )
    return made


async def _known(session: AsyncSession, entered: Entered, new: Sequence[TaskNew]) -> _Known:
    names = {task.assignee for task in new if task.assignee}
    numbers = {item for task in new for item in (*task.depends_on, task.parent) if isinstance(item, int)}
    named = (Task.squad_id == entered.squad_id, Task.number == func.any(sorted(numbers)))
    last = select(func.coalesce(func.max(Task.number), 0)).where(Task.squad_id == entered.squad_id)
    people = select(func.json_object_agg(Member.name, Member.id)).where(
        Member.squad_id == entered.squad_id, Member.name == func.any(sorted(names)), Member.retired_at.is_(None)
    )
    statuses = select(func.json_object_agg(Task.number, Task.status)).where(*named)
    waiting = select(func.array_agg(Task.number)).where(*named, Task.blocked_on == "children")
    columns = [each.scalar_subquery() for each in (last, people, statuses, waiting)]
    row = (await session.execute(select(*columns))).one()
    known = {int(number): status for number, status in (row[2] or {}).items()}
    return _Known(row[0], row[1] or {}, known, frozenset(row[3] or ()))


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


def _number(item: int | str, keys: dict[str, int], known: _Known) -> int:
    """The number of a task that is there, or that will be."""
    return known.last + 1 + keys[item] if isinstance(item, str) else item


def _check(task: TaskNew, index: int, keys: dict[str, int], known: _Known) -> None:
    """Whom and what the task names is there."""
    place = f"body.tasks.{index}"
    if task.assignee and task.assignee not in known.members:
        raise Invalid(f"There is no member {task.assignee}.", field=f"{place}.assignee")
    named = [(f"{place}.depends_on.{at}", item) for at, item in enumerate(task.depends_on)]
    if task.parent is not None:
        named.append((f"{place}.parent", task.parent))
    for field, item in named:
        if item not in keys and item not in known.statuses:
            what = (
                f"No task of this batch has the key {item}." if isinstance(item, str) else f"There is no task #{item}."
            )
            raise Invalid(what, field=field)
    if isinstance(task.parent, str) and keys[task.parent] >= index:
        raise Invalid("A parent comes before its children.", field=f"{place}.parent")
    if isinstance(task.parent, int) and known.statuses[task.parent] in ENDED:
        sentence = f"#{task.parent} is {known.statuses[task.parent]}; a parent has to be unfinished."
        raise Invalid(sentence, field=f"{place}.parent")


async def _refuse_circles(
    session: AsyncSession, entered: Entered, known: _Known, rows: Sequence[dict[str, Any]], edges: Sequence[list[int]]
) -> None:
    """No child may wait, over any number of steps, for a parent that waits for it.

    Within the batch nobody waits for children yet, so only the way out of it, to tasks that are there, counts.
    """
    depends_on: dict[int, list[int]] = {}
    for number, other in edges:
        depends_on.setdefault(number, []).append(other)
    for parent in known.waiting:
        reached: set[int] = set()
        steps = [row["number"] for row in rows if row["parent"] == parent]
        while steps:
            step = steps.pop()
            if step not in reached:
                reached.add(step)
                steps.extend(depends_on.get(step, ()))
        there = sorted(number for number in reached if number <= known.last)
        waits = func.waits_for(entered.squad_id, there, parent)
        if there and await session.scalar(select(waits)):
            raise Conflict(f"A child of #{parent} would wait for #{parent}, which waits for it.", task=parent)
