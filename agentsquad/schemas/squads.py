"""Squads."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from agentsquad.schemas import limits
from agentsquad.schemas.fields import Incoming, Name, Whole
from agentsquad.schemas.members import Member


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
    created_at: datetime
    updated_at: datetime
    members: list[Member]


class SquadNew(Incoming):
    """A squad to make."""

    name: Name
    lease_seconds: Whole = Field(default=limits.LEASE, ge=1, le=limits.LEASE_MAX)
    max_tries: Whole = Field(default=limits.TRIES, ge=1, le=limits.TRIES_MAX)


class Squads(BaseModel):
    """A page of squads, by name."""

    items: list[Squad]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")
