"""The board: tasks, their dependencies, and the attempts at them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.models.base import Base, Created, Timed

MEMBER = ["members.squad_id", "members.id"]
TASK = ["tasks.squad_id", "tasks.number"]


class Task(Timed, Base):
    """A piece of work. `attempt` only grows: it is the fencing token of whoever holds it."""

    __tablename__ = "tasks"

    squad_id: Mapped[UUID] = mapped_column(ForeignKey("squads.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str]
    description: Mapped[str] = mapped_column(default="", server_default=text("''"))
    input: Mapped[Any] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    role: Mapped[str] = mapped_column(default="", server_default=text("''"))
    assignee_id: Mapped[UUID | None] = mapped_column(Uuid)
    priority: Mapped[int] = mapped_column(default=2, server_default=text("2"))
    status: Mapped[str] = mapped_column(default="todo", server_default=text("'todo'"))
    blocked_on: Mapped[str | None]
    blocked_by: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    review: Mapped[str | None]
    worker_id: Mapped[UUID | None] = mapped_column(Uuid)
    rejections: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    parent: Mapped[int | None]
    holder_id: Mapped[UUID | None] = mapped_column(Uuid)
    attempt: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    lease_ends_at: Mapped[datetime | None]
    tries_left: Mapped[int] = mapped_column(default=3, server_default=text("3"))
    result: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    creator_id: Mapped[UUID | None] = mapped_column(Uuid)

    __table_args__ = (
        ForeignKeyConstraint(["squad_id", "assignee_id"], MEMBER, ondelete="SET NULL (assignee_id)"),
        ForeignKeyConstraint(["squad_id", "holder_id"], MEMBER, ondelete="SET NULL (holder_id)"),
        ForeignKeyConstraint(["squad_id", "creator_id"], MEMBER, ondelete="SET NULL (creator_id)"),
        ForeignKeyConstraint(["squad_id", "worker_id"], MEMBER, ondelete="SET NULL (worker_id)"),
        ForeignKeyConstraint(["squad_id", "parent"], TASK, ondelete="SET NULL (parent)"),
        CheckConstraint(
            "status IN ('blocked', 'todo', 'in_progress', 'in_review', 'done', 'failed', 'cancelled')", name="status"
        ),
        CheckConstraint("blocked_on IN ('dependencies', 'children', 'budget', 'stalled')", name="blocked_on"),
        CheckConstraint("(status = 'blocked') = (blocked_on IS NOT NULL)", name="blocked"),
        CheckConstraint("blocked_by IS NULL OR blocked_on IN ('budget', 'stalled')", name="blocked_by"),
        CheckConstraint("holder_id IS NULL OR status IN ('in_progress', 'in_review')", name="held"),
        CheckConstraint("lease_ends_at IS NULL OR holder_id IS NOT NULL", name="lease"),
        CheckConstraint("status <> 'in_review' OR review IS NOT NULL", name="review"),
        CheckConstraint("parent < number", name="parent"),
        CheckConstraint("priority BETWEEN 0 AND 4", name="priority"),
        CheckConstraint("tries_left >= 0", name="tries_left"),
        CheckConstraint("number > 0 AND attempt >= 0 AND rejections >= 0", name="positive"),
        # The ranges of a claim; their predicates stand literally in claim_tasks.sql.
        Index(
            "ix_tasks_claim_assigned",
            "squad_id",
            "assignee_id",
            "priority",
            "number",
            postgresql_where=text("status = 'todo' AND assignee_id IS NOT NULL"),
        ),
        Index(
            "ix_tasks_claim_role",
            "squad_id",
            "role",
            "priority",
            "number",
            postgresql_where=text("status = 'todo' AND assignee_id IS NULL"),
        ),
        Index(
            "ix_tasks_claim_review",
            "squad_id",
            "review",
            "priority",
            "number",
            "worker_id",
            postgresql_where=text("status = 'in_review' AND holder_id IS NULL"),
        ),
        Index(
            "ix_tasks_lease",
            "squad_id",
            "lease_ends_at",
            postgresql_where=text("lease_ends_at IS NOT NULL"),
        ),
        Index("ix_tasks_board", "squad_id", "status", "number"),
        Index("ix_tasks_role", "squad_id", "role", "number"),
        Index("ix_tasks_holder", "squad_id", "holder_id", "number", postgresql_where=text("holder_id IS NOT NULL")),
        Index(
            "ix_tasks_assignee", "squad_id", "assignee_id", "number", postgresql_where=text("assignee_id IS NOT NULL")
        ),
        Index("ix_tasks_parent", "squad_id", "parent", "number", postgresql_where=text("parent IS NOT NULL")),
    )


class Mark(Base):
    """From where on to look in a queue of the board, or for leases that are over (operations/tasks/raise_mark.sql).

    No task waits in the queue before `priority` and `number`; no lease ended before `at`.
    """

    __tablename__ = "marks"

    squad_id: Mapped[UUID] = mapped_column(ForeignKey("squads.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    priority: Mapped[int | None]
    number: Mapped[int | None]
    at: Mapped[datetime | None]


class Dependency(Base):
    """An edge: the task waits until the other one is done."""

    __tablename__ = "dependencies"

    squad_id: Mapped[UUID] = mapped_column(primary_key=True)
    task_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    depends_on: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

    __table_args__ = (
        ForeignKeyConstraint(["squad_id", "task_number"], TASK, ondelete="CASCADE"),
        ForeignKeyConstraint(["squad_id", "depends_on"], TASK, ondelete="CASCADE"),
        CheckConstraint("task_number <> depends_on", name="itself"),
        Index("ix_dependencies_depends_on", "squad_id", "depends_on", "task_number"),
    )


class Attempt(Base):
    """One claim of a task, from its start to how it ended. Its `paths` are reserved for as long as it is live."""

    __tablename__ = "attempts"

    squad_id: Mapped[UUID] = mapped_column(primary_key=True)
    task_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(default="work", server_default=text("'work'"))
    member_id: Mapped[UUID]
    lease_seconds: Mapped[int | None]
    paths: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default=text("'{}'"))
    outcome: Mapped[str | None]
    reason: Mapped[str | None]
    started_at: Mapped[Created]
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["squad_id", "task_number"], TASK, ondelete="CASCADE"),
        ForeignKeyConstraint(["squad_id", "member_id"], MEMBER, ondelete="CASCADE"),
        CheckConstraint("kind IN ('work', 'review')", name="kind"),
        CheckConstraint(
            "outcome IN ('completed', 'failed', 'retried', 'lapsed', 'released', 'handed_off', 'waiting', "
            "'accepted', 'rejected', 'cancelled', 'blocked', 'paused')",
            name="outcome",
        ),
        CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="ended"),
        Index(
            "uq_attempts_live",
            "squad_id",
            "task_number",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "ix_attempts_reserved",
            "squad_id",
            "task_number",
            postgresql_where=text("ended_at IS NULL AND paths <> '{}'"),
        ),
    )
