"""The scene of the operations' scenarios."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from tests.operations.scene import Scene, play


@pytest.fixture
async def scene(async_db: AsyncSession) -> Scene:
    """A squad, its members and a stranger."""
    return await play(async_db)
