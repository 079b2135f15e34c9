"""Calling the SQL functions that lie beside the operations: one statement each, and whose log they wrote to."""

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.database import changed
from backend.operations import access
from backend.operations.access import ARGUMENTS, Actor, SquadRef


async def on_board(
    session: AsyncSession, function: str, actor: Actor, squad: SquadRef, more: str = "", **values: object
) -> Any:
    """Call a function that enters the squad itself. Answers its JSON as text, or None.

    Args:
        session: the transaction.
        function: its name.
        actor: who acts.
        squad: in which squad.
        more: its arguments behind those that say who and where, as placeholders.
        values: what the placeholders stand for.
    """
    arguments = f"{ARGUMENTS}, {more}" if more else ARGUMENTS
    return await call(session, f"{function}({arguments})", **access.arguments(actor, squad), **values)


async def call(session: AsyncSession, call: str, **values: object) -> Any:
    """Call any of them; what it answers as text."""
    # The setting is the transaction's own, and PostgreSQL evaluates the columns in their order.
    statement = text(f"SELECT CAST({call} AS text), current_setting('agentsquad.rang', true)")
    answer, rang = (await session.execute(statement, values)).one()
    if rang:
        changed(session, UUID(rang))
    return answer
