"""The whole board: reviews, children, pauses, messages, and keys of requests that may come again."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_25_whole_board"
down_revision = "2026_11_22_functions"
branch_labels = None
depends_on = None

STATUSES = "status IN ('blocked', 'todo', 'in_progress', 'in_review', 'done', 'failed', 'cancelled')"
OUTCOMES = (
    "outcome IN ('completed', 'failed', 'retried', 'lapsed', 'released', 'handed_off', 'waiting', "
    "'accepted', 'rejected', 'cancelled', 'blocked', 'paused')"
)
# Of each table the checks that change: what they were, and what they become.
CHECKS: dict[str, dict[str, tuple[str | None, str]]] = {
    "tasks": {
        "status": ("status IN ('blocked', 'todo', 'in_progress', 'done', 'failed')", STATUSES),
        "blocked_on": (
            "blocked_on IN ('dependencies')",
            "blocked_on IN ('dependencies', 'children', 'budget', 'stalled')",
        ),
        "held": (
            "holder_id IS NULL OR status = 'in_progress'",
            "holder_id IS NULL OR status IN ('in_progress', 'in_review')",
        ),
        "lease": ("lease_ends_at IS NULL OR status = 'in_progress'", "lease_ends_at IS NULL OR holder_id IS NOT NULL"),
        "positive": ("number > 0 AND attempt >= 0", "number > 0 AND attempt >= 0 AND rejections >= 0"),
        "blocked_by": (None, "blocked_by IS NULL OR blocked_on IN ('budget', 'stalled')"),
        "review": (None, "status <> 'in_review' OR review IS NOT NULL"),
        "parent": (None, "parent < number"),
    },
    "attempts": {
        "outcome": ("outcome IN ('completed', 'failed', 'retried', 'lapsed')", OUTCOMES),
        "kind": (None, "kind IN ('work', 'review')"),
    },
    "api_keys": {
        "kind": (None, "kind IN ('key', 'browser', 'link')"),
        "expires_at": (None, "kind = 'key' OR expires_at IS NOT NULL"),
    },
}
MEMBER = ["squad_id", "id"]
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    for table in ("squads", "members"):
        op.add_column(table, sa.Column("paused_at", TIME, nullable=True))
    op.create_index(
        "ix_members_role", "members", ["squad_id", "role"],
        postgresql_where=sa.text("retired_at IS NULL"),
    )  # fmt: skip
    op.add_column("api_keys", sa.Column("kind", sa.Text(), server_default=sa.text("'key'"), nullable=False))
    op.add_column("api_keys", sa.Column("expires_at", TIME, nullable=True))
    op.add_column("attempts", sa.Column("kind", sa.Text(), server_default=sa.text("'work'"), nullable=False))
    op.add_column("attempts", sa.Column("lease_seconds", sa.Integer(), nullable=True))
    op.add_column(
        "attempts", sa.Column("paths", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.create_index(
        "ix_attempts_reserved", "attempts", ["squad_id", "task_number"],
        postgresql_where=sa.text("ended_at IS NULL AND paths <> '{}'"),
    )  # fmt: skip
    for column in (
        sa.Column("blocked_by", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("review", sa.Text(), nullable=True),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("rejections", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
    ):
        op.add_column("tasks", column)
    op.execute(
        "UPDATE tasks t SET worker_id = a.member_id FROM attempts a WHERE a.squad_id = t.squad_id "
        "AND a.task_number = t.number AND a.attempt = t.attempt AND a.outcome = 'completed'"
    )
    _foreign_key("tasks", "worker_id", "members", MEMBER)
    _foreign_key("tasks", "parent", "tasks", ["squad_id", "number"])
    _change_checks(new=True)
    for name, columns, where in (
        ("claim_review", ["review", "priority", "number", "worker_id"], "status = 'in_review' AND holder_id IS NULL"),
        ("role", ["role", "number"], None),
        ("holder", ["holder_id", "number"], "holder_id IS NOT NULL"),
        ("assignee", ["assignee_id", "number"], "assignee_id IS NOT NULL"),
        ("parent", ["parent", "number"], "parent IS NOT NULL"),
    ):
        op.create_index(f"ix_tasks_{name}", "tasks", ["squad_id", *columns], postgresql_where=where and sa.text(where))
    _create_messages()
    for name in ("task_number", "attempt"):
        op.add_column("member_tokens", sa.Column(name, sa.Integer(), nullable=True))
    op.create_check_constraint(
        op.f("ck_member_tokens_attempt"), "member_tokens", "(task_number IS NULL) = (attempt IS NULL)"
    )
    op.create_index(
        "ix_member_tokens_attempt", "member_tokens", ["squad_id", "member_id"],
        postgresql_where=sa.text("task_number IS NOT NULL"),
    )  # fmt: skip
    op.create_table(
        "idempotency_keys",
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("made_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", TIME, server_default=sa.text("statement_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("actor_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "marks",
        sa.Column("squad_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["squad_id"], ["squads.id"], name=op.f("fk_marks_squad_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("squad_id", "name", name=op.f("pk_marks")),
    )


def downgrade() -> None:
    """Revert. What the older board has no word for becomes the nearest that it has."""
    for table in ("marks", "idempotency_keys", "recipients", "messages"):
        op.drop_table(table)
    op.execute("DELETE FROM member_tokens WHERE task_number IS NOT NULL")
    op.drop_index("ix_member_tokens_attempt", "member_tokens")
    for column in ("attempt", "task_number"):
        op.drop_column("member_tokens", column)
    for name in ("claim_review", "role", "holder", "assignee", "parent"):
        op.drop_index(f"ix_tasks_{name}", "tasks")
    op.execute("UPDATE attempts SET outcome = 'failed' WHERE outcome NOT IN ('completed', 'retried', 'lapsed')")
    op.execute(
        "UPDATE attempts SET outcome = 'failed', ended_at = clock_timestamp() WHERE kind = 'review' AND outcome IS NULL"
    )
    op.execute(
        "UPDATE tasks SET holder_id = NULL, lease_ends_at = NULL, blocked_on = NULL, blocked_by = NULL, "
        "status = CASE status WHEN 'in_review' THEN 'done' WHEN 'cancelled' THEN 'failed' ELSE 'todo' END "
        "WHERE status IN ('in_review', 'cancelled') OR blocked_on IN ('children', 'budget', 'stalled')"
    )
    _change_checks(new=False)
    for column in ("parent", "rejections", "worker_id", "review", "blocked_by"):
        op.drop_column("tasks", column)
    op.drop_index("ix_attempts_reserved", "attempts")
    for column in ("paths", "lease_seconds", "kind"):
        op.drop_column("attempts", column)
    op.execute("DELETE FROM api_keys WHERE expires_at IS NOT NULL")  # the older program would take them for keys
    for column in ("expires_at", "kind"):
        op.drop_column("api_keys", column)
    op.drop_index("ix_members_role", "members")
    for table in ("members", "squads"):
        op.drop_column(table, "paused_at")


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("squad_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sender_id", sa.Uuid(), nullable=True),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("task_number", sa.Integer(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("sent_at", TIME, nullable=False),
        sa.CheckConstraint("position > 0", name=op.f("ck_messages_position")),
        sa.ForeignKeyConstraint(["squad_id"], ["squads.id"], name=op.f("fk_messages_squad_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("squad_id", "position", name=op.f("pk_messages")),
    )
    for column in ("sender_id", "member_id"):
        _foreign_key("messages", column, "members", MEMBER)
    _foreign_key("messages", "task_number", "tasks", ["squad_id", "number"], "CASCADE")
    op.create_index(
        "ix_messages_task", "messages", ["squad_id", "task_number", "position"],
        postgresql_where=sa.text("task_number IS NOT NULL"),
    )  # fmt: skip
    op.create_table(
        "recipients",
        sa.Column("squad_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("read_at", TIME, nullable=True),
        sa.Column("acknowledged_at", TIME, nullable=True),
        sa.CheckConstraint("acknowledged_at IS NULL OR read_at IS NOT NULL", name=op.f("ck_recipients_acknowledged")),
        sa.PrimaryKeyConstraint("squad_id", "member_id", "position", name=op.f("pk_recipients")),
    )
    _foreign_key("recipients", "position", "messages", ["squad_id", "position"], "CASCADE")
    _foreign_key("recipients", "member_id", "members", MEMBER, "CASCADE")
    op.create_index("ix_recipients_position", "recipients", ["squad_id", "position"])
    op.create_index(
        "ix_recipients_unread", "recipients", ["squad_id", "member_id", "position"],
        postgresql_where=sa.text("read_at IS NULL"),
    )  # fmt: skip


def _foreign_key(table: str, column: str, other: str, columns: list[str], on_delete: str | None = None) -> None:
    op.create_foreign_key(
        op.f(f"fk_{table}_squad_id_{column}"), table, other, ["squad_id", column], columns,
        ondelete=on_delete or f"SET NULL ({column})",
    )  # fmt: skip


def _change_checks(*, new: bool) -> None:
    for table, checks in CHECKS.items():
        for name, states in checks.items():
            before, after = states if new else reversed(states)
            if before is not None:
                op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
            if after is not None:
                op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, after)
