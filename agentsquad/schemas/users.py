"""Accounts and their API keys."""

from datetime import datetime
from typing import Literal
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


class UserEdit(Incoming):
    """What to change of an account; what isn't given stays. One that is not active opens nothing."""

    name: Label = Field(default_factory=str)
    is_active: bool = Field(default_factory=bool)


class Users(BaseModel):
    """A page of accounts, by address."""

    items: list[User]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class KeyNew(Incoming):
    """An API key to make; the name says what it is for."""

    name: Label = ""


class Key(BaseModel):
    """An API key, without its secret."""

    id: UUID
    name: str
    kind: Literal["key", "browser", "link"] = Field(description="A browser's is its log-in; a link makes one, once.")
    created_at: datetime
    expires_at: datetime | None = Field(description="null: it doesn't end by itself.")
    revoked_at: datetime | None


class Link(BaseModel):
    """An address that logs a browser in: once, and soon. Whoever has it is logged in as its maker."""

    url: str
    expires_at: datetime


class KeySecret(BaseModel):
    """A new key or token: the only answer that ever holds its text."""

    id: UUID
    secret: str = Field(description="Keep it: only its SHA-256 is stored.")


class Keys(BaseModel):
    """One's own API keys."""

    items: list[Key]
