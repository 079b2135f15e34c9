"""The journal of hosted members: what their models were told, answered and did, and what each answer cost."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.models.base import Base, Created
from backend.models.tasks import MEMBER


class Step(Base):
    """One step at a task, over all attempts. What it may cost is reserved before, and settled when it ends.

    `unknown` is how a step ends whose runner died: what it reserved counts as spent.
    """

    __tablename__ = "steps"

    squad_id: Mapped[UUID] = mapped_column(primary_key=True)
    task_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    attempt: Mapped[int]
    member_id: Mapped[UUID]
    kind: Mapped[str]
    state: Mapped[str]
    name: Mapped[str] = mapped_column(default="", server_default=text("''"))
    content: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    reserved_tokens: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    reserved_cost: Mapped[Decimal | None]
    input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens: Mapped[int | None] = mapped_column(BigInteger)
    cost: Mapped[Decimal | None]
    started_at: Mapped[Created]
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["squad_id", "task_number", "attempt"],
            ["attempts.squad_id", "attempts.task_number", "attempts.attempt"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(["squad_id", "member_id"], MEMBER, ondelete="CASCADE"),
        CheckConstraint("kind IN ('prompt', 'answer', 'tool', 'summary')", name="kind"),
        CheckConstraint("state IN ('started', 'finished', 'failed', 'unknown')", name="state"),
        CheckConstraint("(state = 'started') = (ended_at IS NULL)", name="ended"),
        CheckConstraint("number > 0 AND reserved_tokens >= 0", name="positive"),
        Index("uq_steps_open", "squad_id", "task_number", unique=True, postgresql_where=text("state = 'started'")),
        Index(
            "ix_steps_paid", "squad_id", "member_id",
            postgresql_include=["reserved_tokens", "reserved_cost", "input_tokens", "output_tokens", "cost"],
            postgresql_where=text("kind IN ('answer', 'summary') AND state <> 'started'"),
        ),
    )  # fmt: skip
