"""What stands around a task."""

from typing import Any

from sqlalchemy import ColumnElement, Text, literal, select, union_all
from sqlalchemy.orm import aliased

from backend.core.statements import AnySelect
from backend.models import Dependency, Member, Task
from backend.operations import access, documents
from backend.operations.access import Actor, SquadRef


def relatives(actor: Actor, squad: SquadRef, number: int, limit: int) -> AnySelect:
    """The tasks around one, so many of each: what it waits for, what waits for it, what it is part of, its parts."""
    other = aliased(Task)
    holder = select(Member.name).where(Member.squad_id == other.squad_id, Member.id == other.holder_id)
    columns = (other.number, other.title, other.status, holder.correlate(other).scalar_subquery().label("holder"))

    def related(relation: str, *conditions: ColumnElement[bool], by: Any = None) -> Any:
        found = select(literal(relation, Text).label("relation"), *columns).where(other.squad_id == Task.squad_id)
        if by is not None:
            found = found.join(Dependency, (Dependency.squad_id == other.squad_id) & (by == other.number))
        return found.where(*conditions).order_by(other.number).limit(limit).correlate(Task)

    related_tasks = union_all(
        related("dependency", Dependency.task_number == Task.number, by=Dependency.depends_on),
        related("dependent", Dependency.depends_on == Task.number, by=Dependency.task_number),
        related("parent", other.number == Task.parent),
        related("child", other.parent == Task.number),
    ).lateral("relative")
    listed = documents.items(related_tasks).lateral("listed")
    return (
        select(listed.c["items"])
        .select_from(Task)
        .where(Task.squad_id == access.scope(actor, squad), Task.number == number)
    )
