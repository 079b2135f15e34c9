"""Accounts and their API keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, false, func, text, true
from sqlalchemy.orm import Mapped, mapped_column

from backend.models.base import Base, Created, PrimaryKey, Timed


class User(Timed, Base):
    """An account: owns squads, has API keys."""

    __tablename__ = "users"

    id: Mapped[PrimaryKey]
    email: Mapped[str]
    name: Mapped[str] = mapped_column(default="", server_default=text("''"))
    is_active: Mapped[bool] = mapped_column(default=True, server_default=true())
    is_admin: Mapped[bool] = mapped_column(default=False, server_default=false())

    __table_args__ = (
        Index("uq_users_email", func.lower(text("email")), unique=True),
        CheckConstraint("email <> ''", name="email"),
    )


class ApiKey(Base):
    """A key that acts as its user, the cookie of a browser, or a link that logs one in. Stored is its SHA-256."""

    __tablename__ = "api_keys"

    id: Mapped[PrimaryKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(default="", server_default=text("''"))
    digest: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[Created]
    revoked_at: Mapped[datetime | None]
    kind: Mapped[str] = mapped_column(default="key", server_default=text("'key'"))
    expires_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("kind IN ('key', 'browser', 'link')", name="kind"),
        CheckConstraint("kind = 'key' OR expires_at IS NOT NULL", name="expires_at"),
    )
