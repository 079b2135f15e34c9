"""Squads: the unit of tenancy and of ordering."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import Base, PrimaryKey, Timed
from backend.models.members import Member
from backend.models.users import User


class Squad(Timed, Base):
    """Members, a board and an event log. Its row is the lock of every write below it."""

    __tablename__ = "squads"

    id: Mapped[PrimaryKey]
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    lease_seconds: Mapped[int] = mapped_column(default=60, server_default=text("60"))
    max_tries: Mapped[int] = mapped_column(default=3, server_default=text("3"))
    paused_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]

    owner: Mapped[User] = relationship(viewonly=True, lazy="raise")
    members: Mapped[list[Member]] = relationship(
        cascade="save-update, merge, expunge", passive_deletes="all", lazy="raise", order_by=Member.name
    )

    __table_args__ = (
        UniqueConstraint("owner_id", "name"),
        Index("ix_squads_name", "name"),
        CheckConstraint("name <> ''", name="name"),
        CheckConstraint("lease_seconds BETWEEN 1 AND 14400", name="lease_seconds"),
        CheckConstraint("max_tries BETWEEN 1 AND 100", name="max_tries"),
    )
