"""What tools take and answer where it differs from the schemas of the wire: small, as a model reads all of it."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, Field

from agentsquad.schemas import limits
from agentsquad.schemas.fields import ClaimHandle, Globs, Incoming, Lease, Name, Number, Position, Role, Text, Whole
from agentsquad.schemas.tasks import AttemptKind, BlockedOn, ClaimTaskNew, Status
from backend.core.jsons import cut

SHORT: Final = 4_000  # characters of what stands beside the answer proper


def _cut(value: Any) -> Any:
    return cut(value, SHORT)


class Nothing(Incoming):
    """No arguments."""


class TasksWanted(Incoming):
    """By what tasks are chosen; all that is given has to be true."""

    status: Status | None = None
    role: Role | None = None
    assignee: Name | None = None
    holder: Name | None = None
    parent: Number | None = None
    limit: Whole = Field(default=20, ge=1, le=limits.PAGE)
    cursor: Whole = Field(default=0, ge=0, le=limits.NUMBER_MAX, description="`next` of the page before.")


class TaskWanted(Incoming):
    """One task."""

    number: Number


class ClaimWanted(ClaimTaskNew):
    """Which task to claim, and how to hold it."""

    number: Number | None = Field(default=None, description="This task; without it the next one for you.")
    lease_seconds: Lease | None = Field(default=None, description="How long you may be silent; 900 unless given.")
    paths: Globs = Field(
        default=[],
        description="Globs from the repository's root, as src/**/*.py or docs/. A folder named with a dot ends with /.",
    )


class Verdict(Incoming):
    """What a review came to."""

    claim: ClaimHandle
    accept: bool
    note: Text = Field(default="", description="For whoever did the work; needed to reject.")


class InboxWanted(Incoming):
    """Which messages were dealt with."""

    acknowledge: list[Position] = Field(
        default=[], max_length=limits.MESSAGES, description="`message` of those you have dealt with."
    )


class Patience(Incoming):
    """How long to wait, and for what."""

    seconds: Whole = Field(default=30, ge=1, le=limits.WAIT)
    work: bool = Field(default=True, description="false: for messages only, as while what you need is reserved.")
    after: Whole = Field(
        default=0, ge=0, le=limits.POSITION_MAX, description="The last `message` that you know: only newer ones count."
    )


class Answer(BaseModel):
    """What every tool answers besides."""

    unread: int = Field(description="Messages that wait for you; fetch_inbox.")


class Me(Answer):
    """The caller in its squad."""

    squad: str
    name: str
    role: str
    instructions: str
    claims: list[str] = Field(description="What you hold.")


class Line(BaseModel):
    """A task in a list."""

    number: int
    title: str
    status: Status
    blocked_on: BlockedOn | None = None
    role: str
    assignee: str | None = None
    holder: str | None = None
    priority: int
    depends_on: list[int]
    parent: int | None = None
    why: str = Field(description="What it waits for.")


class Lines(Answer):
    """A page of tasks."""

    items: list[Line]
    next: int | None = Field(default=None, description="The `cursor` of the next page.")


class Post(BaseModel):
    """A message."""

    message: int
    sender: str | None = Field(default=None, description="null: the server.")
    to: str | None = None
    task: int | None = None
    body: str


class Note(Post):
    """A message in a task's thread."""

    body: Annotated[str, AfterValidator(_cut)]


class Full(Line):
    """A task with all that it says."""

    description: str
    input: Any
    review: str | None = None
    attempt: int
    result: Any = None
    created_by: str | None = None


class Shown(Answer):
    """One task, and the end of its thread."""

    task: Full
    thread: list[Note] = Field(description="The last 20 messages; long ones are cut.")


class Made(Answer):
    """The tasks that were made, in the order given."""

    items: list[Line]


class Result(BaseModel):
    """What another task came to."""

    number: int
    title: str
    status: Status
    result: Any = Field(default=None, description="Cut if there is much; get_task has all.")


class Claimed(Answer):
    """What was claimed; without `claim` there was nothing to do."""

    claim: str | None = Field(default=None, description="Echo it in every call about this task.")
    kind: AttemptKind | None = Field(default=None, description="review: accept or reject it with review_task.")
    lease_seconds: int | None = Field(default=None, description="How long you may be silent.")
    paths: list[str] = Field(default=[], description="Reserved for you until the claim ends.")
    task: Full | None = None
    dependencies: list[Result] = []
    children: list[Result] = []
    next: str = Field(description="What to do now.")


class Changed(Answer):
    """A task as it is now."""

    number: int
    status: Status
    why: str


class Asked(Changed):
    """The task, which waits now, and the question's number."""

    question: int


class Sent(Answer):
    """A message that was sent."""

    message: int
    recipients: list[str]


class Posts(Answer):
    """Unread messages, oldest first."""

    items: list[Post]
    more: bool = Field(description="Whether there are more than these.")


class Waited(Answer):
    """What there is to do now."""

    work: bool = Field(description="Whether claim_task will find something.")
    next: str
