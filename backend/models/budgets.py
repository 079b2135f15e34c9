"""What a squad's hosted members have spent, and what they may."""

from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, false, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.models.base import Base

SQUAD: Final = 0  # the number that stands for the squad as a whole

ZERO: Final = text("0")


class Budget(Base):
    """Spending of a task with all that is below it, or of a squad; reserved is what calls under way may cost.

    `unpriced` counts the calls of which nobody knows the cost. A task that was resumed is `waived` from its limits.
    """

    __tablename__ = "budgets"

    squad_id: Mapped[UUID] = mapped_column(ForeignKey("squads.id", ondelete="CASCADE"), primary_key=True)
    task_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    max_tokens: Mapped[int | None] = mapped_column(BigInteger)
    max_cost: Mapped[Decimal | None]
    max_calls: Mapped[int | None] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger, default=0, server_default=ZERO)
    cost: Mapped[Decimal] = mapped_column(default=0, server_default=ZERO)
    calls: Mapped[int] = mapped_column(BigInteger, default=0, server_default=ZERO)
    unpriced: Mapped[int] = mapped_column(BigInteger, default=0, server_default=ZERO)
    reserved_tokens: Mapped[int] = mapped_column(BigInteger, default=0, server_default=ZERO)
    reserved_cost: Mapped[Decimal] = mapped_column(default=0, server_default=ZERO)
    reserved_calls: Mapped[int] = mapped_column(BigInteger, default=0, server_default=ZERO)
    told_at: Mapped[datetime | None]
    waived: Mapped[bool] = mapped_column(default=False, server_default=false())

    __table_args__ = (
        CheckConstraint("task_number >= 0", name="task_number"),
        CheckConstraint("reserved_tokens >= 0 AND reserved_cost >= 0 AND reserved_calls >= 0", name="reserved"),
    )
