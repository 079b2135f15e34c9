"""Members of a squad."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from agentsquad.schemas.fields import Email, Incoming, Label, Name, Role, Text
from agentsquad.schemas.hosting import Hosting

Kind = Literal["hosted", "external", "person"]


class Member(BaseModel):
    """Someone who can hold a task."""

    id: UUID
    name: str
    kind: Kind
    role: str
    instructions: str
    hosting: Hosting | None = Field(default=None, description="null: the server doesn't run it.")
    user: UUID | None = Field(description="The account of a person.")
    last_seen_at: datetime | None
    paused_at: datetime | None
    retired_at: datetime | None
    created_at: datetime


class Me(Member):
    """Oneself in a squad: how many messages wait, and what one holds."""

    is_owner: bool
    unread: int
    claims: list[str] = Field(description="Handles of the live claims.")


class Holding(BaseModel):
    """A task that a member holds, and since when."""

    number: int
    title: str
    status: str
    attempt: int
    since: datetime
    lease_ends_at: datetime | None


class Teammate(Member):
    """A member as its squad sees it: how many messages wait for it, and what it holds."""

    unread: int
    holds: list[Holding]


class Team(BaseModel):
    """Who works in a squad, by name."""

    items: list[Teammate]


class MemberNew(Incoming):
    """A member to add. A person is an account that exists, named by its email address; only a hosted one is run."""

    name: Name
    kind: Kind = "external"
    role: Role = ""
    instructions: Text = ""
    hosting: Hosting | None = Field(default=None, description="How the server runs it; null: it doesn't.")
    user: Email | None = None


class MemberEdit(Incoming):
    """What to change of a member; what isn't given stays."""

    name: Name = Field(default_factory=str)
    role: Role = Field(default_factory=str)
    instructions: Text = Field(default_factory=str)
    hosting: Hosting | None = Field(default=None, description="Whole; null: the server runs it no more.")


class Members(BaseModel):
    """A page of a squad's members, by name."""

    items: list[Member]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class PauseNew(Incoming):
    """No more claims from now on; with `now` live attempts end, which uses no try."""

    now: bool = False


class TokenNew(Incoming):
    """A member token to make; the name says what it is for."""

    name: Label = ""


class Token(BaseModel):
    """A member token, without its secret."""

    id: UUID
    name: str
    created_at: datetime
    revoked_at: datetime | None


class Tokens(BaseModel):
    """Tokens of a member, newest first."""

    items: list[Token]
