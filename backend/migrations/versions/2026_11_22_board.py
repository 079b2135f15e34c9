"""Users, squads, members, the board and the log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_22_board"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_admin", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("email <> ''", name=op.f("ck_users_email")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_index("uq_users_email", "users", [sa.literal_column("lower(email)")], unique=True)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_index(op.f("ix_api_keys_user_id"), "api_keys", ["user_id"], unique=False)
    op.create_table(
        "squads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("lease_seconds", sa.Integer(), server_default=sa.text("60"), nullable=False),
        sa.Column("max_tries", sa.Integer(), server_default=sa.text("3"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("name <> ''", name=op.f("ck_squads_name")),
        sa.CheckConstraint("lease_seconds BETWEEN 1 AND 14400", name=op.f("ck_squads_lease_seconds")),
        sa.CheckConstraint("max_tries BETWEEN 1 AND 100", name=op.f("ck_squads_max_tries")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_squads_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_squads")),
        sa.UniqueConstraint("owner_id", "name", name=op.f("uq_squads_owner_id_name")),
    )
    op.create_index("ix_squads_name", "squads", ["name"], unique=False)
    op.create_table(
        "events",
        sa.Column("squad_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False),
        sa.Column("actor", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("task", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("position > 0", name=op.f("ck_events_position")),
        sa.ForeignKeyConstraint(["squad_id"], ["squads.id"], name=op.f("fk_events_squad_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("squad_id", "position", name=op.f("pk_events")),
    )
    op.create_index("ix_events_task", "events", ["squad_id", "task", "position"], unique=False)
    op.create_table(
        "members",
        sa.Column("squad_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default=sa.text("'external'"), nullable=False),
        sa.Column("role", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("instructions", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("(kind = 'person') = (user_id IS NOT NULL)", name=op.f("ck_members_person")),
        sa.CheckConstraint("kind IN ('hosted', 'external', 'person')", name=op.f("ck_members_kind")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_members_name")),
        sa.ForeignKeyConstraint(["squad_id"], ["squads.id"], name=op.f("fk_members_squad_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_members_user_id")),
        sa.PrimaryKeyConstraint("squad_id", "id", name=op.f("pk_members")),
        sa.UniqueConstraint("squad_id", "name", name=op.f("uq_members_squad_id_name")),
        sa.UniqueConstraint("squad_id", "user_id", name=op.f("uq_members_squad_id_user_id")),
    )
    op.create_index(
        "ix_members_user_id", "members", ["user_id"], unique=False, postgresql_where=sa.text("user_id IS NOT NULL")
    )
    op.create_table(
        "member_tokens",
        sa.Column("squad_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["squad_id", "member_id"],
            ["members.squad_id", "members.id"],
            name=op.f("fk_member_tokens_squad_id_member_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("squad_id", "id", name=op.f("pk_member_tokens")),
        sa.UniqueConstraint("squad_id", "digest", name=op.f("uq_member_tokens_squad_id_digest")),
    )
    op.create_index(op.f("ix_member_tokens_digest"), "member_tokens", ["digest"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("squad_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("input", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("role", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("assignee_id", sa.Uuid(), nullable=True),
        sa.Column("priority", sa.Integer(), server_default=sa.text("2"), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'todo'"), nullable=False),
        sa.Column("blocked_on", sa.Text(), nullable=True),
        sa.Column("holder_id", sa.Uuid(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries_left", sa.Integer(), server_default=sa.text("3"), nullable=False),
        sa.Column("result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("creator_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("(status = 'blocked') = (blocked_on IS NOT NULL)", name=op.f("ck_tasks_blocked")),
        sa.CheckConstraint("blocked_on IN ('dependencies')", name=op.f("ck_tasks_blocked_on")),
        sa.CheckConstraint("holder_id IS NULL OR status = 'in_progress'", name=op.f("ck_tasks_held")),
        sa.CheckConstraint("lease_ends_at IS NULL OR status = 'in_progress'", name=op.f("ck_tasks_lease")),
        sa.CheckConstraint(
            "status IN ('blocked', 'todo', 'in_progress', 'done', 'failed')", name=op.f("ck_tasks_status")
        ),
        sa.CheckConstraint("number > 0 AND attempt >= 0", name=op.f("ck_tasks_positive")),
        sa.CheckConstraint("priority BETWEEN 0 AND 4", name=op.f("ck_tasks_priority")),
        sa.CheckConstraint("tries_left >= 0", name=op.f("ck_tasks_tries_left")),
        sa.ForeignKeyConstraint(
            ["squad_id", "assignee_id"],
            ["members.squad_id", "members.id"],
            name=op.f("fk_tasks_squad_id_assignee_id"),
            ondelete="SET NULL (assignee_id)",
        ),
        sa.ForeignKeyConstraint(
            ["squad_id", "creator_id"],
            ["members.squad_id", "members.id"],
            name=op.f("fk_tasks_squad_id_creator_id"),
            ondelete="SET NULL (creator_id)",
        ),
        sa.ForeignKeyConstraint(
            ["squad_id", "holder_id"],
            ["members.squad_id", "members.id"],
            name=op.f("fk_tasks_squad_id_holder_id"),
            ondelete="SET NULL (holder_id)",
        ),
        sa.ForeignKeyConstraint(["squad_id"], ["squads.id"], name=op.f("fk_tasks_squad_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("squad_id", "number", name=op.f("pk_tasks")),
    )
    op.create_index("ix_tasks_board", "tasks", ["squad_id", "status", "number"], unique=False)
    op.create_index(
        "ix_tasks_claim_assigned",
        "tasks",
        ["squad_id", "assignee_id", "priority", "number"],
        unique=False,
        postgresql_where=sa.text("status = 'todo' AND assignee_id IS NOT NULL"),
    )
    op.create_index(
        "ix_tasks_claim_role",
        "tasks",
        ["squad_id", "role", "priority", "number"],
        unique=False,
        postgresql_where=sa.text("status = 'todo' AND assignee_id IS NULL"),
    )
    op.create_index(
        "ix_tasks_lease",
        "tasks",
        ["squad_id", "lease_ends_at"],
        unique=False,
        postgresql_where=sa.text("lease_ends_at IS NOT NULL"),
    )
    op.create_table(
        "attempts",
        sa.Column("squad_id", sa.Uuid(), nullable=False),
        sa.Column("task_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("outcome IN ('completed', 'failed', 'retried', 'lapsed')", name=op.f("ck_attempts_outcome")),
        sa.CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name=op.f("ck_attempts_ended")),
        sa.ForeignKeyConstraint(
            ["squad_id", "member_id"],
            ["members.squad_id", "members.id"],
            name=op.f("fk_attempts_squad_id_member_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["squad_id", "task_number"],
            ["tasks.squad_id", "tasks.number"],
            name=op.f("fk_attempts_squad_id_task_number"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("squad_id", "task_number", "attempt", name=op.f("pk_attempts")),
    )
    op.create_index(
        "uq_attempts_live",
        "attempts",
        ["squad_id", "task_number"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "dependencies",
        sa.Column("squad_id", sa.Uuid(), nullable=False),
        sa.Column("task_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("depends_on", sa.Integer(), autoincrement=False, nullable=False),
        sa.CheckConstraint("task_number <> depends_on", name=op.f("ck_dependencies_itself")),
        sa.ForeignKeyConstraint(
            ["squad_id", "depends_on"],
            ["tasks.squad_id", "tasks.number"],
            name=op.f("fk_dependencies_squad_id_depends_on"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["squad_id", "task_number"],
            ["tasks.squad_id", "tasks.number"],
            name=op.f("fk_dependencies_squad_id_task_number"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("squad_id", "task_number", "depends_on", name=op.f("pk_dependencies")),
    )
    op.create_index(
        "ix_dependencies_depends_on", "dependencies", ["squad_id", "depends_on", "task_number"], unique=False
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_dependencies_depends_on", table_name="dependencies")
    op.drop_table("dependencies")
    op.drop_index("uq_attempts_live", table_name="attempts", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_table("attempts")
    op.drop_index("ix_tasks_lease", table_name="tasks", postgresql_where=sa.text("lease_ends_at IS NOT NULL"))
    op.drop_index(
        "ix_tasks_claim_role", table_name="tasks", postgresql_where=sa.text("status = 'todo' AND assignee_id IS NULL")
    )
    op.drop_index(
        "ix_tasks_claim_assigned",
        table_name="tasks",
        postgresql_where=sa.text("status = 'todo' AND assignee_id IS NOT NULL"),
    )
    op.drop_index("ix_tasks_board", table_name="tasks")
    op.drop_table("tasks")
    op.drop_index(op.f("ix_member_tokens_digest"), table_name="member_tokens")
    op.drop_table("member_tokens")
    op.drop_index("ix_members_user_id", table_name="members", postgresql_where=sa.text("user_id IS NOT NULL"))
    op.drop_table("members")
    op.drop_index("ix_events_task", table_name="events")
    op.drop_table("events")
    op.drop_index("ix_squads_name", table_name="squads")
    op.drop_table("squads")
    op.drop_index(op.f("ix_api_keys_user_id"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_index("uq_users_email", table_name="users")
    op.drop_table("users")
