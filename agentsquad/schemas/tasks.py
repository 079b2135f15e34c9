"""Tasks, and what is done with them."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from agentsquad.schemas import fields, limits
from agentsquad.schemas.fields import ClaimHandle, Incoming, Input, Json, Name, Reference, Role, Text, Title, Whole

Status = Literal["blocked", "todo", "in_progress", "in_review", "done", "failed", "cancelled"]
BlockedOn = Literal["dependencies", "children", "budget", "stalled"]
AttemptKind = Literal["work", "review"]
Outcome = Literal[
    "completed",
    "failed",
    "retried",
    "lapsed",
    "released",
    "handed_off",
    "waiting",
    "accepted",
    "rejected",
    "cancelled",
    "blocked",
    "paused",
]


class TaskNew(Incoming):
    """A task to make. Within a batch others are named by their `key`, outside of it by their number."""

    title: Title
    description: Text = ""
    input: Input = Field(default_factory=dict, description="Any JSON; null is an empty object.")
    role: Role = ""
    assignee: Name | None = None
    review: Role | None = Field(
        default=None, description="The role whose review its result needs; empty: anybody's but the worker's own."
    )
    priority: Whole = Field(default=2, ge=0, le=4, description="0 comes first.")
    key: Name | None = Field(default=None, description="How other tasks of this batch name it.")
    depends_on: list[Reference] = Field(default=[], max_length=limits.DEPENDENCIES)
    parent: Reference | None = Field(default=None, description="The unfinished task that it is a part of.")


class TasksNew(Incoming):
    """A batch: all of it is made, or nothing. A claim that is given has to be live."""

    tasks: list[TaskNew] = Field(min_length=1, max_length=limits.BATCH)
    claim: ClaimHandle | None = None


class TaskFacts(BaseModel):
    """All that the log tells of a task."""

    squad: UUID
    number: int
    title: str
    description: str
    input: Json
    status: Status
    blocked_on: BlockedOn | None
    blocked_by: Json = Field(description="Why the server or the owner blocked it: a reason, a limit.")
    role: str
    assignee: str | None
    review: str | None
    holder: str | None
    attempt: int
    tries_left: int
    rejections: int
    priority: int
    depends_on: list[int]
    parent: int | None
    result: Json
    created_by: str | None
    created_at: datetime
    updated_at: datetime


class Task(TaskFacts):
    """A piece of work."""

    lease_ends_at: datetime | None
    why: str = Field(description="What it waits for, in one sentence.")


class TaskChanged(Task):
    """A task as the caller has just changed it, and how many messages wait for the caller."""

    unread: int


class Tasks(BaseModel):
    """A page of tasks, by number."""

    items: list[Task]
    next: str | None = Field(default=None, description="Give it as `cursor` for the next page; null on the last.")


class TasksMade(BaseModel):
    """The tasks of a batch, in its order."""

    items: list[Task]
    unread: int


class Card(BaseModel):
    """A task on the board: what one sees of it from afar."""

    number: int
    title: str
    status: Status
    blocked_on: BlockedOn | None
    role: str
    assignee: str | None
    review: str | None
    holder: str | None
    attempt: int
    lease_ends_at: datetime | None
    tries_left: int
    priority: int
    depends_on: list[int]
    parent: int | None
    paths: list[str] = Field(default=[], description="What its live attempt reserves.")
    updated_at: datetime


class Board(BaseModel):
    """What is not ended, by priority, and what ended last. `last` is the log's position that it shows."""

    squad: UUID
    name: str
    paused: bool
    last: int
    tasks: list[Card]
    more: list[Status] = Field(description="The statuses of which there are more tasks than the board shows.")


class Relative(BaseModel):
    """A task that has to do with another one: that it waits for, that waits for it, that it is part of, its part."""

    relation: Literal["dependency", "dependent", "parent", "child"]
    number: int
    title: str
    status: Status
    holder: str | None


class Relatives(BaseModel):
    """The tasks around one, by relation and number."""

    items: list[Relative]


class Attempt(BaseModel):
    """One claim of a task, and how it ended."""

    attempt: int
    kind: AttemptKind
    member: str
    lease_seconds: int | None = Field(default=None, description="Its own lease; null: the squad's, or none.")
    paths: list[str] = Field(default=[], description="What it reserves for as long as it is live.")
    outcome: Outcome | None
    reason: str | None
    started_at: datetime
    ended_at: datetime | None


class Attempts(BaseModel):
    """All attempts at a task, in order."""

    items: list[Attempt]


class WhyTask(BaseModel):
    """A task that another one waits for."""

    number: int
    status: Status
    holder: str | None


class WhyMember(BaseModel):
    """A member that a task waits for."""

    name: str
    last_seen_at: datetime | None
    paused: bool


class Why(BaseModel):
    """What a task waits for: in one sentence, and as data."""

    task: int
    status: Status
    blocked_on: BlockedOn | None
    sentence: str
    holder: str | None = Field(description="Who holds it.")
    until: datetime | None = Field(description="When the holder's lease ends.")
    role: str | None = Field(description="The role that it waits for.")
    tasks: list[WhyTask] = Field(description="The tasks that it waits for.")
    members: list[WhyMember] = Field(description="The members that it waits for; of a role those seen last.")
    by: Json = Field(description="The reason or the limit for which it was blocked.")
    at: datetime = Field(description="Since when it is as it is.")


class TaskResult(BaseModel):
    """What a task that this one waited for came to."""

    number: int
    title: str
    role: str
    status: Status
    holder: str | None
    attempt: int
    result: Json


class Claim(BaseModel):
    """A task that the caller holds now. Every write about it carries `claim`."""

    claim: ClaimHandle
    kind: AttemptKind = Field(description="`review`: the task's result is to be accepted or rejected.")
    lease_seconds: int | None = Field(description="Send a heartbeat well before; null: the claim never lapses.")
    paths: list[str] = Field(default=[], description="What is reserved for it until it ends.")
    task: Task
    dependencies: list[TaskResult]
    children: list[TaskResult] = Field(description="What the tasks that it was split into came to, the newest 200.")


class Claims(BaseModel):
    """What was claimed: empty when nothing is there to do."""

    items: list[Claim]
    unread: int = 0


class ClaimTaskNew(Incoming):
    """How to hold a task."""

    lease_seconds: fields.Lease | None = Field(
        default=None, description="The lease of this attempt instead of the squad's; a person's claim has none."
    )
    paths: fields.Globs = Field(
        default=[],
        description="Globs from the root of the checkout, such as `src/**/*.py` or `docs/`: reserved until the attempt "
        "ends, for it alone. A folder is all that is in it; one whose name has a dot ends with /.",
    )


class ClaimNew(ClaimTaskNew):
    """How many tasks to claim, and how to hold them; with `paths` only one."""

    limit: Whole = Field(default=1, ge=1, le=limits.CLAIMS)


class Held(Incoming):
    """What a holder sends at least: the handle of its claim."""

    claim: ClaimHandle


class HeartbeatNew(Held):
    """A sign of life."""


class Heartbeat(BaseModel):
    """The lease as it is now."""

    claim: ClaimHandle
    lease_ends_at: datetime | None
    unread: int


class TokenOfAttemptNew(Held):
    """A token for whatever the holder starts; it is good for as long as the claim is live."""


class HeartbeatsNew(Incoming):
    """A sign of life of several claims."""

    claims: list[ClaimHandle] = Field(min_length=1, max_length=limits.HEARTBEATS)


class Beat(BaseModel):
    """One claim of several: its lease as it is now, or why it is lost."""

    claim: ClaimHandle
    live: bool
    cancelled: bool
    lease_ends_at: datetime | None
    detail: str | None


class Heartbeats(BaseModel):
    """The leases as they are now; a lost claim doesn't spoil the others."""

    items: list[Beat]
    unread: int


class CompleteNew(Held):
    """The result of a task."""

    result: Json = None


class FailNew(Held):
    """Why it can't be done; with `retry` the task is free again while a try is left."""

    reason: Text
    retry: bool = False


class ReleaseNew(Held):
    """The task is given back."""

    reason: Text = ""


class HandoffNew(Held):
    """To whom the task goes: a member or a role, or a member in another role; the note goes into its thread."""

    to: Name | None = Field(default=None, description="A member.")
    role: Role | None = Field(default=None, description="A role; empty: anybody.")
    note: Text


class WaitNew(Held):
    """The task waits until its children have ended."""


class AcceptNew(Held):
    """The result under review is good; a note goes into the task's thread."""

    note: Text = ""


class RejectNew(Held):
    """The result under review is not good yet; the note goes into the task's thread."""

    note: Text = Field(min_length=1)


class AskNew(Held):
    """A question to a person; the task waits for the answer."""

    question: Title
    details: Text = ""
    input: Input = Field(default_factory=dict, description="Any JSON that goes with it; null is an empty object.")
    to: Name | None = Field(default=None, description="A member that is a person; by default the owner.")


class Asked(BaseModel):
    """The question, a task of its own, and the task that waits for it."""

    question: Task
    task: TaskChanged


class AnswerNew(Incoming):
    """An answer to a question."""

    answer: Json


class TaskEdit(Incoming):
    """What to change of a task; what isn't given stays."""

    title: Title = Field(default_factory=str)
    description: Text = Field(default_factory=str)
    input: Input = Field(default_factory=dict)
    role: Role = Field(default_factory=str)
    assignee: Name | None = Field(default=None, description="null: nobody in particular.")
    review: Role | None = Field(default=None, description="null: none; not while the task is in review.")
    priority: Whole = Field(default_factory=int, ge=0, le=4)


class CancelNew(Incoming):
    """Why; with `cascade` its children and what depends on it are cancelled too."""

    reason: Text = ""
    cascade: bool = False


class BlockNew(Incoming):
    """On what a task is blocked until somebody resumes it."""

    on: Literal["budget", "stalled"] = "stalled"
    reason: Text = Field(min_length=1)
