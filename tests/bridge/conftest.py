"""A server by script and a client, with the bridge between them; and a real server."""

from collections.abc import AsyncIterator

import pytest

from tests.bridge.standin import Client, StandIn, bridged
from tests.cli.conftest import site, typed, web

__all__ = ["site", "typed", "web"]


@pytest.fixture
async def both() -> AsyncIterator[tuple[StandIn, Client]]:
    """Both, as they belong together."""
    async with bridged() as both:
        yield both


@pytest.fixture
def server(both: tuple[StandIn, Client]) -> StandIn:
    """The server."""
    return both[0]


@pytest.fixture
def client(both: tuple[StandIn, Client]) -> Client:
    """The client."""
    return both[1]
