"""Events of the board."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from agentsquad.schemas.events.base import BaseEvent, Data
from agentsquad.schemas.fields import Json
from agentsquad.schemas.tasks import AttemptKind, BlockedOn, Outcome, Status, TaskFacts


class TaskCreated(BaseEvent):
    """A task was made."""

    kind: Literal["task.created"]
    data: TaskFacts


class State(Data):
    """What a move on the board can change of a task, whole."""

    status: Status
    blocked_on: BlockedOn | None
    blocked_by: Json
    role: str
    assignee: str | None
    holder: str | None
    attempt: int
    tries_left: int
    rejections: int
    updated_at: datetime


class UpdatedData(State):
    """The fields that were changed."""

    title: str | None = None
    description: str | None = None
    input: Json = None
    review: str | None = None
    priority: int | None = None
    depends_on: list[int] | None = None


class TaskUpdated(BaseEvent):
    """What a task says, for whom it is or what it waits for was changed."""

    kind: Literal["task.updated"]
    data: UpdatedData


class ClaimedData(State):
    """Whether the attempt is work or a review, its own lease if it has one, and what it reserves."""

    kind: AttemptKind
    lease_seconds: int | None = None
    paths: list[str] = Field(default=[])


class TaskClaimed(BaseEvent):
    """A member holds the task."""

    kind: Literal["task.claimed"]
    data: ClaimedData


class EndedData(State):
    """How the attempt ended that held the task; missing if nobody did."""

    outcome: Outcome | None = None
    reason: str | None = None


class CompletedData(EndedData):
    """The result."""

    result: Json


class TaskCompleted(BaseEvent):
    """The live attempt ended with a result: the task is done, or in review."""

    kind: Literal["task.completed"]
    data: CompletedData


class TaskFailed(BaseEvent):
    """The live attempt ended without a result."""

    kind: Literal["task.failed"]
    data: EndedData


class TaskLapsed(BaseEvent):
    """The live attempt's lease was over."""

    kind: Literal["task.lapsed"]
    data: EndedData


class TaskReleased(BaseEvent):
    """The live attempt was given back or taken away; it used no try."""

    kind: Literal["task.released"]
    data: EndedData


class TaskHandedOff(BaseEvent):
    """The holder gave the task to another member or role."""

    kind: Literal["task.handed_off"]
    data: EndedData


class TaskWaiting(BaseEvent):
    """The holder waits for the task's children."""

    kind: Literal["task.waiting"]
    data: EndedData


class TaskAccepted(BaseEvent):
    """The review found the result good: the task is done."""

    kind: Literal["task.accepted"]
    data: EndedData


class TaskRejected(BaseEvent):
    """The review found the result not good yet."""

    kind: Literal["task.rejected"]
    data: EndedData


class TaskUnblocked(BaseEvent):
    """What the task waited for has ended."""

    kind: Literal["task.unblocked"]
    data: State


class StuckData(State):
    """The dependencies that ended without being done."""

    ended: list[int]


class TaskStuck(BaseEvent):
    """A dependency failed or was cancelled; the task stays blocked until somebody acts."""

    kind: Literal["task.stuck"]
    data: StuckData


class TaskCancelled(BaseEvent):
    """The task was cancelled."""

    kind: Literal["task.cancelled"]
    data: EndedData


class TaskRetried(BaseEvent):
    """A failed or cancelled task was opened again."""

    kind: Literal["task.retried"]
    data: State


class TaskBlocked(BaseEvent):
    """The task is blocked by a budget or as stalled."""

    kind: Literal["task.blocked"]
    data: EndedData


class TaskResumed(BaseEvent):
    """A task that was blocked goes on."""

    kind: Literal["task.resumed"]
    data: State
