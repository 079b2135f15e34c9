"""Messages, and what each recipient has done with them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.models.base import Base
from backend.models.tasks import MEMBER, TASK


class Message(Base):
    """A message. Its position is that of its event, so messages are in order and without a counter of their own."""

    __tablename__ = "messages"

    squad_id: Mapped[UUID] = mapped_column(ForeignKey("squads.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sender_id: Mapped[UUID | None] = mapped_column(Uuid)
    member_id: Mapped[UUID | None] = mapped_column(Uuid)
    task_number: Mapped[int | None]
    body: Mapped[str]
    sent_at: Mapped[datetime]

    __table_args__ = (
        ForeignKeyConstraint(["squad_id", "sender_id"], MEMBER, ondelete="SET NULL (sender_id)"),
        ForeignKeyConstraint(["squad_id", "member_id"], MEMBER, ondelete="SET NULL (member_id)"),
        ForeignKeyConstraint(["squad_id", "task_number"], TASK, ondelete="CASCADE"),
        CheckConstraint("position > 0", name="position"),
        Index(
            "ix_messages_task", "squad_id", "task_number", "position", postgresql_where=text("task_number IS NOT NULL")
        ),
    )


class Recipient(Base):
    """A message in a member's inbox."""

    __tablename__ = "recipients"

    squad_id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    read_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["squad_id", "position"], ["messages.squad_id", "messages.position"], ondelete="CASCADE"),
        ForeignKeyConstraint(["squad_id", "member_id"], MEMBER, ondelete="CASCADE"),
        CheckConstraint("acknowledged_at IS NULL OR read_at IS NOT NULL", name="acknowledged"),
        Index("ix_recipients_position", "squad_id", "position"),
        Index("ix_recipients_unread", "squad_id", "member_id", "position", postgresql_where=text("read_at IS NULL")),
    )
