"""Members of a squad."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from agentsquad.schemas.fields import Email, Incoming, Label, Name, Role, Text

Kind = Literal["hosted", "external", "person"]


class Member(BaseModel):
    """Someone who can hold a task."""

    id: UUID
    name: str
    kind: Kind
    role: str
    instructions: str
    user: UUID | None = Field(description="The account of a person.")
    last_seen_at: datetime | None
    retired_at: datetime | None
    created_at: datetime


class MemberNew(Incoming):
    """A member to add. A person is an account that exists, named by its email address."""

    name: Name
    kind: Literal["external", "person"] = "external"
    role: Role = ""
    instructions: Text = ""
    user: Email | None = None


class Members(BaseModel):
    """Members of a squad, by name."""

    items: list[Member]


class TokenNew(Incoming):
    """A member token to make; the name says what it is for."""

    name: Label = ""
