"""The command line's fixtures: a real server, for each test or for a folder."""

from collections.abc import AsyncIterator

import pytest

from agentsquad.client import AsyncClient
from tests.cli.conftest import asq, client, home, server, site, start, web

__all__ = ["asq", "client", "home", "owner_of_web", "server", "site", "start", "web"]


@pytest.fixture
async def owner_of_web(web: str) -> AsyncIterator[AsyncClient]:
    """The owner of a new squad with a member `ada`, on the folder's server."""
    async with AsyncClient() as client:
        yield client
