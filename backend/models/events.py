"""The log: every change of a squad, at positions 1, 2, 3 … in commit order."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.models.base import Base, Created


class Event(Base):
    """One change. The task's number is no foreign key: the log outlives what it tells of."""

    __tablename__ = "events"

    squad_id: Mapped[UUID] = mapped_column(ForeignKey("squads.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str]
    at: Mapped[Created]
    actor: Mapped[Any] = mapped_column(JSONB)
    task: Mapped[int | None]
    attempt: Mapped[int | None]
    data: Mapped[Any] = mapped_column(JSONB)

    __table_args__ = (
        CheckConstraint("position > 0", name="position"),
        Index("ix_events_task", "squad_id", "task", "position"),
    )
