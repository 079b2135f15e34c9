"""Hosted members: how they are run, the journal of what they do, and what it costs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_26_hosted"
down_revision = "2026_11_25_whole_board"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = postgresql.JSONB(none_as_null=True)
NOW = sa.text("statement_timestamp()")
ZERO = sa.text("0")


def upgrade() -> None:
    """Apply."""
    op.add_column("members", sa.Column("hosting", JSON, nullable=True))
    op.create_check_constraint(op.f("ck_members_hosting"), "members", "hosting IS NULL OR kind = 'hosted'")
    op.create_index(
        "ix_members_hosted", "members", ["squad_id", "id"],
        postgresql_where=sa.text("hosting IS NOT NULL AND retired_at IS NULL AND paused_at IS NULL"),
    )  # fmt: skip
    op.create_table(
        "steps",
        sa.Column("squad_id", sa.Uuid(), nullable=False),
        sa.Column("task_number", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("content", JSON, nullable=True),
        sa.Column("reserved_tokens", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("reserved_cost", sa.Numeric(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cost", sa.Numeric(), nullable=True),
        sa.Column("started_at", TIME, server_default=NOW, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.CheckConstraint("kind IN ('prompt', 'answer', 'tool', 'summary')", name=op.f("ck_steps_kind")),
        sa.CheckConstraint("state IN ('started', 'finished', 'failed', 'unknown')", name=op.f("ck_steps_state")),
        sa.CheckConstraint("(state = 'started') = (ended_at IS NULL)", name=op.f("ck_steps_ended")),
        sa.CheckConstraint("number > 0 AND reserved_tokens >= 0", name=op.f("ck_steps_positive")),
        sa.ForeignKeyConstraint(
            ["squad_id", "task_number", "attempt"],
            ["attempts.squad_id", "attempts.task_number", "attempts.attempt"],
            name=op.f("fk_steps_squad_id_task_number_attempt"), ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["squad_id", "member_id"], ["members.squad_id", "members.id"],
            name=op.f("fk_steps_squad_id_member_id"), ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("squad_id", "task_number", "number", name=op.f("pk_steps")),
    )  # fmt: skip
    op.create_index(
        "uq_steps_open", "steps", ["squad_id", "task_number"],
        unique=True, postgresql_where=sa.text("state = 'started'"),
    )  # fmt: skip
    op.create_index(
        "ix_steps_paid", "steps", ["squad_id", "member_id"],
        postgresql_include=["reserved_tokens", "reserved_cost", "input_tokens", "output_tokens", "cost"],
        postgresql_where=sa.text("kind IN ('answer', 'summary') AND state <> 'started'"),
    )  # fmt: skip
    op.create_table(
        "budgets",
        sa.Column("squad_id", sa.Uuid(), nullable=False),
        sa.Column("task_number", sa.Integer(), nullable=False),
        sa.Column("max_tokens", sa.BigInteger(), nullable=True),
        sa.Column("max_cost", sa.Numeric(), nullable=True),
        sa.Column("max_calls", sa.BigInteger(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("cost", sa.Numeric(), server_default=ZERO, nullable=False),
        sa.Column("calls", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("unpriced", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("reserved_tokens", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("reserved_cost", sa.Numeric(), server_default=ZERO, nullable=False),
        sa.Column("reserved_calls", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("told_at", TIME, nullable=True),
        sa.Column("waived", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint("task_number >= 0", name=op.f("ck_budgets_task_number")),
        sa.CheckConstraint(
            "reserved_tokens >= 0 AND reserved_cost >= 0 AND reserved_calls >= 0", name=op.f("ck_budgets_reserved")
        ),
        sa.ForeignKeyConstraint(["squad_id"], ["squads.id"], name=op.f("fk_budgets_squad_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("squad_id", "task_number", name=op.f("pk_budgets")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("budgets")
    op.drop_table("steps")
    op.drop_index("ix_members_hosted", "members")
    op.drop_constraint(op.f("ck_members_hosting"), "members")
    op.drop_column("members", "hosting")
