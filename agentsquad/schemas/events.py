"""The log's events: one union, told apart by `kind`, versioned by adding only.

`data` holds the new values whole: who folds them in order has the board.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from agentsquad.schemas.fields import Json
from agentsquad.schemas.tasks import BlockedOn, Status, Task


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


class SquadData(BaseModel):
    """A squad as it was made."""

    name: str
    lease_seconds: int
    max_tries: int


class SquadCreated(_Event):
    """A squad was made."""

    kind: Literal["squad.created"]
    data: SquadData


class MemberData(BaseModel):
    """A member as it was added."""

    id: UUID
    name: str
    kind: str
    role: str
    instructions: str


class MemberAdded(_Event):
    """A member joined."""

    kind: Literal["member.added"]
    data: MemberData


class TokenData(BaseModel):
    """A token, without its secret."""

    id: UUID
    member: str
    name: str


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
    data: Task


class ClaimedData(BaseModel):
    """Who holds it now."""

    status: Status
    holder: str
    attempt: int
    updated_at: datetime


class TaskClaimed(_Event):
    """A member holds the task."""

    kind: Literal["task.claimed"]
    data: ClaimedData


class CompletedData(BaseModel):
    """The result."""

    status: Status
    holder: None
    result: Json
    updated_at: datetime


class TaskCompleted(_Event):
    """The live attempt ended with a result."""

    kind: Literal["task.completed"]
    data: CompletedData


class UnblockedData(BaseModel):
    """Free to be claimed."""

    status: Status
    blocked_on: BlockedOn | None
    updated_at: datetime


class TaskUnblocked(_Event):
    """What the task waited for is done."""

    kind: Literal["task.unblocked"]
    data: UnblockedData


class FailedData(BaseModel):
    """Why, and whether it is tried again."""

    status: Status
    holder: None
    tries_left: int
    reason: str
    updated_at: datetime


class TaskFailed(_Event):
    """The live attempt ended without a result."""

    kind: Literal["task.failed"]
    data: FailedData


class LapsedData(BaseModel):
    """Free again, or failed for good."""

    status: Status
    holder: None
    tries_left: int
    updated_at: datetime


class TaskLapsed(_Event):
    """The live attempt's lease was over."""

    kind: Literal["task.lapsed"]
    data: LapsedData


Event = Annotated[
    SquadCreated
    | MemberAdded
    | TokenCreated
    | TokenRevoked
    | TaskCreated
    | TaskClaimed
    | TaskCompleted
    | TaskUnblocked
    | TaskFailed
    | TaskLapsed,
    Field(discriminator="kind"),
]


class Events(BaseModel):
    """A page of the log. `last` is the position to read on after."""

    items: list[Event]
    last: int
