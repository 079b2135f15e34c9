"""A squad as a file: JSON lines, one for each row of every noun, in this order.

`squad` (the header), `member`s by name, `task`s by number, `dependency`s, `attempt`s, `step`s, `budget`s, `message`s,
`recipient`s, the `event`s of the whole log, and `end`. Members stand by their names; nothing refers to anything outside
of the file. Files of older servers have no steps and budgets.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter

from agentsquad.schemas import limits
from agentsquad.schemas.events import Event
from agentsquad.schemas.fields import (
    Amount,
    Dollars,
    Email,
    Globs,
    Incoming,
    Lease,
    Name,
    Number,
    Position,
    Role,
    Stored,
    Text,
    Title,
    Whole,
)
from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.members import Kind
from agentsquad.schemas.squads import Squad
from agentsquad.schemas.steps import StepKind, StepState
from agentsquad.schemas.tasks import AttemptKind, BlockedOn, Outcome, Status

FORMAT = 1
Count = Annotated[Whole, Field(ge=0, le=limits.NUMBER_MAX)]


class Header(Incoming):
    """The squad itself, when it was exported, and the last position of its log."""

    kind: Literal["squad"]
    format: Literal[1]
    id: UUID
    name: Name
    lease_seconds: Whole = Field(ge=1, le=limits.LEASE_MAX)
    max_tries: Whole = Field(ge=1, le=limits.TRIES_MAX)
    paused_at: AwareDatetime | None
    archived_at: AwareDatetime | None
    created_at: AwareDatetime
    exported_at: AwareDatetime
    last: Position


class MemberRow(Incoming):
    """A member; a person with the address of its account."""

    name: Name
    kind: Kind
    role: Role
    instructions: Text
    hosting: Hosting | None = None
    email: Email | None
    owner: bool
    last_seen_at: AwareDatetime | None
    paused_at: AwareDatetime | None
    retired_at: AwareDatetime | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class TaskRow(Incoming):
    """A task. When a lease ends is not told: another server's clock has no say."""

    number: Number
    title: Title
    description: Text
    input: Stored
    role: Role
    assignee: Name | None
    priority: Whole = Field(ge=0, le=4)
    status: Status
    blocked_on: BlockedOn | None
    blocked_by: Stored
    review: Role | None
    worker: Name | None
    rejections: Count
    parent: Number | None
    holder: Name | None
    attempt: Count
    tries_left: Count
    result: Stored
    creator: Name | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class DependencyRow(Incoming):
    """An edge: the task waits until the other one is done."""

    task: Number
    depends_on: Number


class AttemptRow(Incoming):
    """One claim of a task, and how it ended."""

    task: Number
    attempt: Number
    kind: AttemptKind
    member: Name
    lease_seconds: Lease | None
    paths: Globs
    outcome: Outcome | None
    reason: Text | None
    started_at: AwareDatetime
    ended_at: AwareDatetime | None


class StepRow(Incoming):
    """A step of a hosted member. What one that is under way has reserved counts for the budgets that it belongs to."""

    task: Number
    number: Number
    attempt: Number
    member: Name
    kind: StepKind
    state: StepState
    name: Text
    content: Stored
    reserved_tokens: Amount
    reserved_cost: Dollars | None
    input_tokens: Amount | None
    output_tokens: Amount | None
    cost: Dollars | None
    started_at: AwareDatetime
    ended_at: AwareDatetime | None


class BudgetRow(Incoming):
    """What a task, or the squad (null), may spend and has spent; without what steps under way have reserved."""

    task: Number | None
    max_tokens: Amount | None
    max_cost: Dollars | None
    max_calls: Amount | None
    tokens: Amount
    cost: Dollars
    calls: Amount
    unpriced: Amount
    told_at: AwareDatetime | None
    waived: bool


class MessageRow(Incoming):
    """A message, at the position of its event."""

    position: Position
    sender: Name | None
    to: Name | None
    task: Number | None
    body: Text
    sent_at: AwareDatetime


class RecipientRow(Incoming):
    """A message in a member's inbox."""

    position: Position
    member: Name
    read_at: AwareDatetime | None
    acknowledged_at: AwareDatetime | None


class MemberLine(Incoming):
    """A member's line."""

    kind: Literal["member"]
    row: MemberRow


class TaskLine(Incoming):
    """A task's line."""

    kind: Literal["task"]
    row: TaskRow


class DependencyLine(Incoming):
    """An edge's line."""

    kind: Literal["dependency"]
    row: DependencyRow


class AttemptLine(Incoming):
    """An attempt's line."""

    kind: Literal["attempt"]
    row: AttemptRow


class StepLine(Incoming):
    """A step's line."""

    kind: Literal["step"]
    row: StepRow


class BudgetLine(Incoming):
    """A budget's line."""

    kind: Literal["budget"]
    row: BudgetRow


class MessageLine(Incoming):
    """A message's line."""

    kind: Literal["message"]
    row: MessageRow


class RecipientLine(Incoming):
    """The line of a message in an inbox."""

    kind: Literal["recipient"]
    row: RecipientRow


class EventLine(Incoming):
    """An event's line: the event as the log tells it."""

    kind: Literal["event"]
    row: Event


class Counts(Incoming):
    """How many lines there are of each kind."""

    member: Count
    task: Count
    dependency: Count
    attempt: Count
    step: Count = 0
    budget: Count = 0
    message: Count
    recipient: Count
    event: Count


class Trailer(Incoming):
    """The last line: how many there were, and the SHA-256 of all bytes before it."""

    kind: Literal["end"]
    counts: Counts
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


Line = Annotated[
    Header
    | MemberLine
    | TaskLine
    | DependencyLine
    | AttemptLine
    | StepLine
    | BudgetLine
    | MessageLine
    | RecipientLine
    | EventLine
    | Trailer,
    Field(discriminator="kind"),
]
KINDS = ("squad", *Counts.model_fields, "end")
LINE: TypeAdapter[Line] = TypeAdapter(Line)


class Imported(BaseModel):
    """The new squad, and what of the file is different in it."""

    squad: Squad
    counts: Counts
    last: int = Field(description="The position of the event that tells of the import.")
    released: int = Field(description="Attempts that were live, and were taken back.")
    outsiders: list[str] = Field(description="Persons who are external members now: no account of theirs is linked.")
    paused: list[str] = Field(description="Hosted members that the server doesn't run until the owner resumes them.")
