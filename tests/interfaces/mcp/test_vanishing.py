"""Whoever is gone leaves nothing behind on the server, and what it held is free again."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.shared.exceptions import MCPError

from agentsquad.schemas import limits
from backend.core.database import Database
from tests.campaigns.crew import Crew, Journal, eventually, until
from tests.campaigns.serving import Place, ready, standing
from tests.interfaces.http.conftest import Site, made
from tests.interfaces.http.streaming import PATIENCE
from tests.interfaces.mcp.conftest import MODES, Refused, Squad, joined

BEATS = {"Squad-Heartbeat": "client"}  # claims with the squad's own lease
BELL = 1  # the connection that stays in use
QUIET = {"work": False, "unread": 0, "next": "Nothing yet: call wait again."}


async def hold(journal: Journal, url: str, token: str, mode: str) -> None:
    """Claim a task, and wait for more with it in hand."""
    async with joined(url, token, mode, **BEATS) as session:
        journal.note("claimed", claim=(await session.call("claim_task"))["claim"])
        await session.call("wait", seconds=limits.WAIT)
        journal.note("answered")


def in_use(database: Database) -> int:
    """How many connections somebody has; the free ones of the lane are nobody's."""
    pool: Any = database.async_engine.pool
    loans = database.reads._loans
    return int(pool.checkedout()) - (len(loans.free) if loans else 0)


@asynccontextmanager
async def leaving_nothing(site: Site, url: str, token: str, mode: str) -> AsyncIterator[None]:
    """What came to the server within the block is gone soon after it: tasks of its loop, channels, connections."""
    async with joined(url, token, mode) as session:
        await session.call("whoami")  # the first call of all starts what serves every other one
    feed, before = site.app.state.feed, asyncio.all_tasks()
    await until(lambda: in_use(site.app.state.database) == BELL, PATIENCE)
    yield
    await until(lambda: feed._channels == {}, PATIENCE)
    await until(lambda: asyncio.all_tasks() <= before, PATIENCE)
    await until(lambda: in_use(site.app.state.database) == BELL, PATIENCE)


@pytest.fixture
async def hasty(url: str, squad: Squad) -> Squad:
    """A squad with short leases."""
    made(await squad.owner.post("/squads", json={"name": "hasty", "lease_seconds": 2}))
    return Squad(url, squad.owner, "/squads/hasty")


async def test_a_client_that_is_killed_leaves_nothing_but_its_lease(
    site: Site, hasty: Squad, tmp_path: Path, mode: str
) -> None:
    await hasty.task("one", role="tester")
    token = await hasty.token("tess")
    with Crew(tmp_path / "crew") as crew:
        async with leaving_nothing(site, hasty.url, token, mode):
            holder = crew.start(hold, hasty.url, token, mode)
            await until(lambda: holder.notes("claimed") and site.app.state.feed._channels, PATIENCE)
            holder.signal(signal.SIGKILL)
        assert holder.notes("answered") == []

    async def is_free() -> bool:
        return bool((await hasty.shown(1))["status"] == "todo")

    await eventually(is_free, PATIENCE)
    async with joined(hasty.url, token, mode) as tess:
        assert (await tess.call("claim_task"))["claim"] == "1/2"
        with pytest.raises(Refused) as refused:
            await tess.call("complete_task", claim="1/1")
        assert refused.value.said["code"] == "lost_claim"


async def test_a_call_that_is_cancelled_ends_on_the_server(site: Site, squad: Squad, mode: str) -> None:
    """At once; one of the older protocol with its session, as no server without sessions knows what is cancelled."""
    token = await squad.token("tess")
    async with leaving_nothing(site, squad.url, token, mode), joined(squad.url, token, mode) as tess:
        waiting = asyncio.create_task(tess.call("wait", seconds=limits.WAIT))
        await until(lambda: site.app.state.feed._channels, PATIENCE)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        if mode != "legacy":
            await until(lambda: site.app.state.feed._channels == {}, PATIENCE)
        assert (await tess.call("whoami"))["name"] == "tess"


async def interrupted(url: str, token: str, mode: str) -> Any:
    """What a wait answers whose server ends; None for an error."""
    with contextlib.suppress(MCPError, ExceptionGroup):
        async with joined(url, token, mode) as session:
            return await session.call("wait", seconds=limits.WAIT)
    return None


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_a_server_that_ends_in_the_middle_of_a_wait_says_so_at_once(
    database_url: str, tmp_path: Path, how: int
) -> None:
    async with standing(tmp_path / "home", 2, DATABASE_URL=database_url) as servers:
        place = await Place.found(servers, "web", len(MODES), lease_seconds=60)
        members = list(zip(place.tokens, MODES, strict=True))
        headers = {"Authorization": f"Bearer {place.key}"}
        async with httpx.AsyncClient(base_url=f"{place.urls[1]}/squads/web", headers=headers) as owner:
            waiting = [asyncio.create_task(interrupted(place.urls[0], *member)) for member in members]

            async def all_wait() -> bool:
                listed = (await owner.get("/members")).json()["items"]
                return all(each["last_seen_at"] for each in listed if each["kind"] == "external")

            await eventually(all_wait, PATIENCE)
            servers[0].signal(how)
            async with asyncio.timeout(PATIENCE):  # far less than the wait would have lasted
                said = await asyncio.gather(*waiting)
            assert all(each in ([None] if how == signal.SIGKILL else [None, QUIET]) for each in said)
            made(await owner.post("/tasks", json={"tasks": [{"title": "x"}]}))
            async with joined(place.urls[1], *members[0]) as session:
                assert (await session.call("wait", seconds=1))["work"]
            await until(lambda: servers[0].starts == 2, PATIENCE)
            await ready(servers, owner, 2)
            async with joined(place.urls[0], *members[1]) as session:
                assert (await session.call("claim_task"))["claim"] == "1/1"
