"""The log's events: one union, told apart by `kind`, versioned by adding only.

`data` holds the new values whole: who folds them in order has the squad, its members, board and messages.
"""

from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field

from agentsquad.schemas.events.budgets import SquadBudgetSet, TaskBudgetSet
from agentsquad.schemas.events.members import (
    MemberAdded,
    MemberPaused,
    MemberResumed,
    MemberRetired,
    MemberUpdated,
    TokenCreated,
    TokenRevoked,
)
from agentsquad.schemas.events.messages import (
    MessageAcknowledged,
    MessageSent,
)
from agentsquad.schemas.events.squads import (
    SquadArchived,
    SquadCreated,
    SquadImported,
    SquadPaused,
    SquadResumed,
    SquadUnarchived,
    SquadUpdated,
)
from agentsquad.schemas.events.steps import StepEnded, StepStarted
from agentsquad.schemas.events.tasks import (
    TaskAccepted,
    TaskBlocked,
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
    TaskHandedOff,
    TaskLapsed,
    TaskRejected,
    TaskReleased,
    TaskResumed,
    TaskRetried,
    TaskStuck,
    TaskUnblocked,
    TaskUpdated,
    TaskWaiting,
)

Event = Annotated[
    SquadCreated
    | SquadUpdated
    | SquadPaused
    | SquadResumed
    | SquadArchived
    | SquadUnarchived
    | SquadImported
    | SquadBudgetSet
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
    | TaskBudgetSet
    | StepStarted
    | StepEnded
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
