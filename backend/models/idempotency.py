"""What was answered to a request that may come again."""

from uuid import UUID

from sqlalchemy import Index, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from backend.models.base import Base, Created


class IdempotencyKey(Base):
    """A caller's own name for a request. The actor is an account or a member, so it refers to neither table."""

    __tablename__ = "idempotency_keys"

    actor_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    operation: Mapped[str]
    digest: Mapped[bytes]
    answer: Mapped[str | None]
    made_id: Mapped[UUID | None] = mapped_column(Uuid)
    created_at: Mapped[Created]

    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)
