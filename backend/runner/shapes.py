"""What the squad's tools take. A model reads it with every call, so it is short."""

from typing import Final

from pydantic import Field

from agentsquad.schemas import limits
from agentsquad.schemas.fields import Incoming, Json, Name, Number, Role, Text, Title, Whole
from agentsquad.schemas.tasks import Status

AT_ONCE: Final = 50  # tasks made by one call


class Part(Incoming):
    """A task to make: a part of the one that is held."""

    title: Title
    description: Text = Field(default="", description="All that its member has to know: it sees nothing else.")
    role: Role = Field(default="", description="Who is to do it.")
    assignee: Name | None = Field(default=None, description="A member in particular; its name.")
    key: Name | None = Field(default=None, description="How other parts name it in depends_on.")
    depends_on: list[int | str] = Field(
        default=[], max_length=limits.DEPENDENCIES, description="Keys of these parts, or numbers of tasks."
    )
    review: Role | None = Field(default=None, description="The role that checks the result.")
    priority: Whole = Field(default=2, ge=0, le=4, description="0 comes first.")


class Parts(Incoming):
    """Tasks to make."""

    tasks: list[Part] = Field(min_length=1, max_length=AT_ONCE)


class Nothing(Incoming):
    """No arguments."""


class ToAsk(Incoming):
    """What to ask a person."""

    question: Title
    details: Text = ""
    to: Name | None = Field(default=None, description="A person's name; without it the owner.")


class Handoff(Incoming):
    """To whom a task goes."""

    to: Name | None = Field(default=None, description="A member's name.")
    role: Role | None = None
    note: Text


class Result(Incoming):
    """What the task came to."""

    result: Json


class Reason(Incoming):
    """Why not."""

    reason: Text = Field(min_length=1)


class Verdict(Incoming):
    """What a review came to."""

    accept: bool
    note: Text = Field(default="", description="For whoever did the work; needed to reject.")


class One(Incoming):
    """A task."""

    number: Number


class Some(Incoming):
    """By what tasks are chosen; all that is given has to be true."""

    status: Status | None = None
    role: Role | None = None
    holder: Name | None = None
    parent: Number | None = None
    after: Whole = Field(default=0, ge=0, le=limits.NUMBER_MAX, description="Only higher numbers.")


class Post(Incoming):
    """A message."""

    to: Name | None = Field(default=None, description="A member's name.")
    task: Number | None = Field(default=None, description="The task in whose thread it belongs.")
    body: Text = Field(min_length=1)
