"""The stage of the runner's scenarios."""

from collections.abc import AsyncIterator

import pytest

from backend.core.database import Database
from tests.runner.stage import Stage, staged


@pytest.fixture
async def stage(database: Database) -> AsyncIterator[Stage]:
    """A squad, and no hosted member yet."""
    async with staged(database) as stage:
        yield stage
