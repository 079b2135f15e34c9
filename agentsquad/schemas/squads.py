"""Squads, and the templates that they are made from."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from agentsquad.schemas import limits
from agentsquad.schemas.fields import Incoming, Name, Text, Title, Whole
from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.members import Member, MemberNew


class Owner(BaseModel):
    """Whose squad it is."""

    id: UUID
    email: str
    name: str


class Squad(BaseModel):
    """A squad with its owner and its members."""

    id: UUID
    name: str
    owner: Owner
    lease_seconds: int
    max_tries: int
    paused_at: datetime | None
    archived_at: datetime | None
    created_at: datetime
    updated_at: datetime
    members: list[Member]


class SquadNew(Incoming):
    """A squad to make, from nothing or with the members of a template."""

    name: Name
    template: Name | None = None
    hosting: Hosting | None = Field(default=None, description="How the server runs the template's hosted members.")
    lease_seconds: Whole = Field(default=limits.LEASE, ge=1, le=limits.LEASE_MAX)
    max_tries: Whole = Field(default=limits.TRIES, ge=1, le=limits.TRIES_MAX)


class SquadEdit(Incoming):
    """What to change of a squad; what isn't given stays."""

    name: Name = Field(default_factory=str)
    lease_seconds: Whole = Field(default_factory=int, ge=1, le=limits.LEASE_MAX)
    max_tries: Whole = Field(default_factory=int, ge=1, le=limits.TRIES_MAX)


class Squads(BaseModel):
    """A page of squads, by name."""

    items: list[Squad]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class Template(Incoming):
    """A kind of squad: the members that it begins with."""

    name: Name
    title: Title
    description: Text
    members: list[MemberNew] = Field(min_length=1)


class Templates(BaseModel):
    """What squads can be made from, by name."""

    items: list[Template]
