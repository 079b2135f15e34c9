"""Accounts and their API keys."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from agentsquad.schemas.fields import Email, Incoming, Label


class User(BaseModel):
    """An account."""

    id: UUID
    email: str
    name: str
    is_active: bool
    is_admin: bool
    created_at: datetime
    updated_at: datetime


class UserNew(Incoming):
    """An account to make."""

    email: Email
    name: Label = ""


class Users(BaseModel):
    """Accounts."""

    items: list[User]


class KeyNew(Incoming):
    """An API key to make; the name says what it is for."""

    name: Label = ""


class Key(BaseModel):
    """An API key, without its secret."""

    id: UUID
    name: str
    created_at: datetime
    revoked_at: datetime | None


class KeySecret(BaseModel):
    """A new key or token: the only answer that ever holds its text."""

    id: UUID
    secret: str = Field(description="Keep it: only its SHA-256 is stored.")


class Keys(BaseModel):
    """One's own API keys."""

    items: list[Key]
