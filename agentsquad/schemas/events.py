"""The log's events: one union, told apart by `kind`, versioned by adding only.

`data` holds the new values whole: who folds them in order has the squad, its members, board and messages.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from agentsquad.schemas.fields import Json
from agentsquad.schemas.tasks import AttemptKind, BlockedOn, Outcome, Status, TaskFacts


class Actor(BaseModel):
    """Who did it: the member as whom, and the account behind it. Both null: the server."""

    member: str | None
    user: str | None


class _Event(BaseModel):
    position: int
    at: datetime
    actor: Actor
    task: int | None
    attempt: int | None


class _Data(BaseModel):
    """Nothing is told that isn't described here."""

    model_config = ConfigDict(extra="forbid")


class SquadData(_Data):
    """A squad as it was made."""

    id: UUID
    owner: UUID
    name: str
    lease_seconds: int
    max_tries: int


class SquadCreated(_Event):
    """A squad was made."""

    kind: Literal["squad.created"]
    data: SquadData


class SquadChange(_Data):
    """What was changed of a squad."""

    name: str | None = None
    lease_seconds: int | None = None
    max_tries: int | None = None


class SquadUpdated(_Event):
    """A squad was renamed, or its lease or tries were changed."""

    kind: Literal["squad.updated"]
    data: SquadChange


class PausedData(_Data):
    """Since when; null: no longer."""

    paused_at: datetime | None


class SquadPaused(_Event):
    """Nobody in the squad claims anything from now on."""

    kind: Literal["squad.paused"]
    data: PausedData


class SquadResumed(_Event):
    """The squad goes on."""

    kind: Literal["squad.resumed"]
    data: PausedData


class ArchivedData(_Data):
    """Since when; null: no longer."""

    archived_at: datetime | None


class SquadArchived(_Event):
    """The squad takes no more writes."""

    kind: Literal["squad.archived"]
    data: ArchivedData


class SquadUnarchived(_Event):
    """The squad is open again."""

    kind: Literal["squad.unarchived"]
    data: ArchivedData


class MemberData(_Data):
    """A member as it was added."""

    id: UUID
    name: str
    kind: str
    role: str
    instructions: str
    user: UUID | None


class MemberAdded(_Event):
    """A member joined."""

    kind: Literal["member.added"]
    data: MemberData


class _MemberChange(_Data):
    """Of whom: the id stays, the name is the one it has now."""

    id: UUID
    member: str


class MemberChange(_MemberChange):
    """What was changed of a member, and the name it had before."""

    before: str
    name: str | None = None
    role: str | None = None
    instructions: str | None = None


class MemberUpdated(_Event):
    """A member was renamed, or its role or instructions were changed."""

    kind: Literal["member.updated"]
    data: MemberChange


class MemberPausedData(_MemberChange):
    """Since when; null: no longer."""

    paused_at: datetime | None


class MemberPaused(_Event):
    """The member claims nothing from now on."""

    kind: Literal["member.paused"]
    data: MemberPausedData


class MemberResumed(_Event):
    """The member claims again."""

    kind: Literal["member.resumed"]
    data: MemberPausedData


class RetiredData(_MemberChange):
    """Since when."""

    retired_at: datetime


class MemberRetired(_Event):
    """The member is gone for good; its tokens are dead."""

    kind: Literal["member.retired"]
    data: RetiredData


class TokenData(_MemberChange):
    """A token, without its secret."""

    token: UUID
    label: str


class TokenCreated(_Event):
    """A member got a token."""

    kind: Literal["member.token_created"]
    data: TokenData


class TokenRevoked(_Event):
    """A member's token was revoked."""

    kind: Literal["member.token_revoked"]
    data: TokenData


class TaskCreated(_Event):
    """A task was made."""

    kind: Literal["task.created"]
    data: TaskFacts


class State(_Data):
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


class TaskUpdated(_Event):
    """What a task says, for whom it is or what it waits for was changed."""

    kind: Literal["task.updated"]
    data: UpdatedData


class ClaimedData(State):
    """Whether the attempt is work or a review."""

    kind: AttemptKind


class TaskClaimed(_Event):
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


class TaskCompleted(_Event):
    """The live attempt ended with a result: the task is done, or in review."""

    kind: Literal["task.completed"]
    data: CompletedData


class TaskFailed(_Event):
    """The live attempt ended without a result."""

    kind: Literal["task.failed"]
    data: EndedData


class TaskLapsed(_Event):
    """The live attempt's lease was over."""

    kind: Literal["task.lapsed"]
    data: EndedData


class TaskReleased(_Event):
    """The live attempt was given back or taken away; it used no try."""

    kind: Literal["task.released"]
    data: EndedData


class TaskHandedOff(_Event):
    """The holder gave the task to another member or role."""

    kind: Literal["task.handed_off"]
    data: EndedData


class TaskWaiting(_Event):
    """The holder waits for the task's children."""

    kind: Literal["task.waiting"]
    data: EndedData


class TaskAccepted(_Event):
    """The review found the result good: the task is done."""

    kind: Literal["task.accepted"]
    data: EndedData


class TaskRejected(_Event):
    """The review found the result not good yet."""

    kind: Literal["task.rejected"]
    data: EndedData


class TaskUnblocked(_Event):
    """What the task waited for has ended."""

    kind: Literal["task.unblocked"]
    data: State


class StuckData(State):
    """The dependencies that ended without being done."""

    ended: list[int]


class TaskStuck(_Event):
    """A dependency failed or was cancelled; the task stays blocked until somebody acts."""

    kind: Literal["task.stuck"]
    data: StuckData


class TaskCancelled(_Event):
    """The task was cancelled."""

    kind: Literal["task.cancelled"]
    data: EndedData


class TaskRetried(_Event):
    """A failed or cancelled task was opened again."""

    kind: Literal["task.retried"]
    data: State


class TaskBlocked(_Event):
    """The task is blocked by a budget or as stalled."""

    kind: Literal["task.blocked"]
    data: EndedData


class TaskResumed(_Event):
    """A task that was blocked goes on."""

    kind: Literal["task.resumed"]
    data: State


class MessageData(_Data):
    """A message and in whose inbox it lies. Its key is the event's position."""

    sender: str | None
    to: str | None
    body: str
    recipients: list[str]


class MessageSent(_Event):
    """A message was sent."""

    kind: Literal["message.sent"]
    data: MessageData


class AcknowledgedData(_Data):
    """Which message, and whose."""

    message: int
    member: str
    acknowledged_at: datetime


class MessageAcknowledged(_Event):
    """A recipient has taken care of a message."""

    kind: Literal["message.acknowledged"]
    data: AcknowledgedData


Event = Annotated[
    SquadCreated
    | SquadUpdated
    | SquadPaused
    | SquadResumed
    | SquadArchived
    | SquadUnarchived
    | MemberAdded
    | MemberUpdated
    | MemberPaused
    | MemberResumed
    | MemberRetired
    | TokenCreated
    | TokenRevoked
    | TaskCreated
    | TaskUpdated
    | TaskClaimed
    | TaskCompleted
    | TaskFailed
    | TaskLapsed
    | TaskReleased
    | TaskHandedOff
    | TaskWaiting
    | TaskAccepted
    | TaskRejected
    | TaskUnblocked
    | TaskStuck
    | TaskCancelled
    | TaskRetried
    | TaskBlocked
    | TaskResumed
    | MessageSent
    | MessageAcknowledged,
    Field(discriminator="kind"),
]


def kinds() -> dict[str, type[BaseModel]]:
    """Every kind of event, and its shape."""
    union: tuple[Any, ...] = get_args(get_args(Event)[0])
    return {get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in union}


class Events(BaseModel):
    """A page of the log. `last` is the position to read on after."""

    items: list[Event]
    last: int
