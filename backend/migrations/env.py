"""How Alembic runs here: on the sync engine, one process at a time, never waiting long for a lock."""

from alembic import context
from sqlalchemy import Engine, text

from backend.core import database, schema
from backend.models import Base


def engine() -> Engine:
    """The engine that the caller gave, or the default one when `alembic` was typed."""
    given: Engine | None = context.config.attributes.get("engine")
    return given or database.default().sync_engine


def run() -> None:
    """Migrate under the lock, which its own connection holds."""
    own = engine().execution_options(isolation_level="AUTOCOMMIT")
    with own.connect() as lock, engine().connect() as connection:
        schema.take_lock(lock)
        try:
            connection.execute(text("SET lock_timeout = '5s'"))
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("SET idle_in_transaction_session_timeout = 0"))
            connection.commit()
            context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=True)
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()
        finally:
            connection.rollback()
            connection.invalidate()  # its settings were for this
            lock.invalidate()  # which also ends the lock, and can't fail over the error that led here


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    run()
