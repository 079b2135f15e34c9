"""Who follows, and the database as another process has it."""

from collections.abc import AsyncIterator, Callable

import pytest

from backend.core.database import Database
from tests.campaigns.crew import Team, found


@pytest.fixture
async def team(database: Database) -> Team:
    """A squad with one member."""
    return await found(database, 1)


@pytest.fixture
async def other(make_database: Callable[..., Database]) -> AsyncIterator[Database]:
    """The database as another process has it."""
    other = make_database()
    yield other
    await other.close()
