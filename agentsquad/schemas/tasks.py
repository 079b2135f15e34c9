"""Tasks, and what a holder does with them."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from agentsquad.schemas import limits
from agentsquad.schemas.fields import ClaimHandle, Incoming, Input, Json, Name, Reference, Role, Text, Title, Whole

Status = Literal["blocked", "todo", "in_progress", "done", "failed"]
BlockedOn = Literal["dependencies"]


class TaskNew(Incoming):
    """A task to make. Within a batch a dependency is a `key` of the same batch, else a task's number."""

    title: Title
    description: Text = ""
    input: Input = Field(default_factory=dict, description="Any JSON; null is an empty object.")
    role: Role = ""
    assignee: Name | None = None
    priority: Whole = Field(default=2, ge=0, le=4, description="0 comes first.")
    key: Name | None = Field(default=None, description="How other tasks of this batch depend on it.")
    depends_on: list[Reference] = Field(default=[], max_length=limits.DEPENDENCIES)


class TasksNew(Incoming):
    """A batch: all of it is made, or nothing."""

    tasks: list[TaskNew] = Field(min_length=1, max_length=limits.BATCH)


class Task(BaseModel):
    """A piece of work."""

    squad: UUID
    number: int
    title: str
    description: str
    input: Json
    status: Status
    blocked_on: BlockedOn | None
    role: str
    assignee: str | None
    holder: str | None
    attempt: int
    lease_ends_at: datetime | None
    tries_left: int
    priority: int
    depends_on: list[int]
    result: Json
    created_by: str | None
    created_at: datetime
    updated_at: datetime


class Tasks(BaseModel):
    """A page of tasks, by number."""

    items: list[Task]
    next: str | None = Field(default=None, description="Give it as `cursor` for the next page; null on the last.")


class Card(BaseModel):
    """A task on the board: what one sees of it from afar."""

    number: int
    title: str
    status: Status
    blocked_on: BlockedOn | None
    role: str
    assignee: str | None
    holder: str | None
    attempt: int
    lease_ends_at: datetime | None
    tries_left: int
    priority: int
    depends_on: list[int]
    updated_at: datetime


class Board(BaseModel):
    """Every task that is not done, and those that were done last. `last` is the log's position that it shows."""

    squad: UUID
    name: str
    last: int
    tasks: list[Card]


class DependencyResult(BaseModel):
    """What a task that this one waited for came to."""

    number: int
    title: str
    role: str
    holder: str | None
    attempt: int
    result: Json


class Claim(BaseModel):
    """A task that the caller holds now. Every write about it carries `claim`."""

    claim: ClaimHandle
    lease_seconds: int | None = Field(description="Send a heartbeat well before; null: the claim never lapses.")
    task: Task
    dependencies: list[DependencyResult]


class Claims(BaseModel):
    """What was claimed: empty when nothing is there to do."""

    items: list[Claim]


class HeartbeatNew(Incoming):
    """A sign of life."""

    claim: ClaimHandle


class Heartbeat(BaseModel):
    """The lease as it is now."""

    claim: ClaimHandle
    lease_ends_at: datetime | None


class CompleteNew(Incoming):
    """The result of a task."""

    claim: ClaimHandle
    result: Json = None


class FailNew(Incoming):
    """Why it can't be done; with `retry` the task is free again while a try is left."""

    claim: ClaimHandle
    reason: Text
    retry: bool = False
