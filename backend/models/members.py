"""Members of a squad and the tokens with which they come in."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import Base, Created, PrimaryKey, Timed
from backend.models.users import User


class Member(Timed, Base):
    """Someone who can hold a task: hosted by the server, external, or a person. Without `hosting` no runner runs it."""

    __tablename__ = "members"

    squad_id: Mapped[UUID] = mapped_column(ForeignKey("squads.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[PrimaryKey]
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(default="external", server_default=text("'external'"))
    role: Mapped[str] = mapped_column(default="", server_default=text("''"))
    instructions: Mapped[str] = mapped_column(default="", server_default=text("''"))
    hosting: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    user_id: Mapped[UUID | None] = mapped_column(Uuid, ForeignKey("users.id"))
    last_seen_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]

    user: Mapped[User | None] = relationship(viewonly=True, lazy="raise")

    __table_args__ = (
        UniqueConstraint("squad_id", "name"),
        UniqueConstraint("squad_id", "user_id"),
        Index("ix_members_user_id", "user_id", postgresql_where=text("user_id IS NOT NULL")),
        CheckConstraint("kind IN ('hosted', 'external', 'person')", name="kind"),
        CheckConstraint("(kind = 'person') = (user_id IS NOT NULL)", name="person"),
        CheckConstraint("name <> ''", name="name"),
        CheckConstraint("hosting IS NULL OR kind = 'hosted'", name="hosting"),
        Index(
            "ix_members_hosted",
            "squad_id",
            "id",
            postgresql_where=text("hosting IS NOT NULL AND retired_at IS NULL AND paused_at IS NULL"),
        ),
        Index("ix_members_role", "squad_id", "role", postgresql_where=text("retired_at IS NULL")),
    )


class MemberToken(Base):
    """A token that acts as its member; one of an attempt only as long as that is live. Only its SHA-256 is stored."""

    __tablename__ = "member_tokens"

    squad_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[PrimaryKey]
    member_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(default="", server_default=text("''"))
    digest: Mapped[bytes] = mapped_column(index=True)
    created_at: Mapped[Created]
    revoked_at: Mapped[datetime | None]
    task_number: Mapped[int | None]
    attempt: Mapped[int | None]

    __table_args__ = (
        ForeignKeyConstraint(["squad_id", "member_id"], ["members.squad_id", "members.id"], ondelete="CASCADE"),
        UniqueConstraint("squad_id", "digest"),
        CheckConstraint("(task_number IS NULL) = (attempt IS NULL)", name="attempt"),
        Index(
            "ix_member_tokens_attempt",
            "squad_id",
            "member_id",
            postgresql_where=text("task_number IS NOT NULL"),
        ),
    )
