"""Messages: to a member, to a task's thread, or to all. A message's key is the position of its event."""

from datetime import datetime

from pydantic import BaseModel, Field

from agentsquad.schemas import limits
from agentsquad.schemas.fields import ClaimHandle, Incoming, Name, Number, Position, Text


class MessageNew(Incoming):
    """A message: to a member, to a task's thread, or to all. A claim that is given has to be live."""

    to: Name | None = Field(default=None, description="A member; with `task` it alone gets it, in that thread.")
    task: Number | None = Field(default=None, description="The task in whose thread it stands.")
    all: bool = Field(default=False, description="To every member.")
    body: Text = Field(min_length=1)
    claim: ClaimHandle | None = None


class Message(BaseModel):
    """A message as anybody in the squad sees it."""

    position: int
    sender: str | None = Field(description="null: the server.")
    to: str | None
    task: int | None
    body: str
    recipients: list[str]
    at: datetime


class MessageSent(Message):
    """A message that was just sent, and how many wait for the sender."""

    unread: int


class Messages(BaseModel):
    """A page of a task's thread or of the whole squad's messages, oldest first."""

    items: list[Message]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class Received(BaseModel):
    """A message as its recipient sees it."""

    position: int
    sender: str | None = Field(description="null: the server.")
    to: str | None
    task: int | None
    body: str
    at: datetime
    read_at: datetime | None
    acknowledged_at: datetime | None


class Inbox(BaseModel):
    """A page of a member's messages, oldest first."""

    items: list[Received]
    unread: int
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class ReadNew(Incoming):
    """Everything up to this position was read."""

    up_to: Position


class AcknowledgeNew(Incoming):
    """The messages that were taken care of; they are read then, too."""

    messages: list[Position] = Field(min_length=1, max_length=limits.MESSAGES)


class Unread(BaseModel):
    """How many messages wait to be read."""

    unread: int
