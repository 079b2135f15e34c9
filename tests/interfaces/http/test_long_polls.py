"""A claim that waits, over HTTP."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.campaigns.crew import until
from tests.interfaces.http.conftest import Site, listening, made, refused, squad, tasks
from tests.interfaces.http.streaming import PATIENCE

NOTHING = {"items": [], "unread": 0}


@pytest.fixture
async def url(site: Site) -> AsyncIterator[str]:
    async with listening(site.app) as url:
        yield f"{url}/squads/web"


@pytest.fixture
async def web(site: Site, admin: httpx.AsyncClient, url: str) -> httpx.AsyncClient:
    """The owner, at its squad's address."""
    await squad(admin)
    return await site.caller(site.key, url)


async def waits(site: Site) -> None:
    """Until somebody waits."""
    await until(lambda: site.app.state.feed._channels, PATIENCE)


async def test_it_is_answered_when_there_is_something(site: Site, web: httpx.AsyncClient) -> None:
    waiting = asyncio.create_task(web.post("/tasks/claim?wait=50", json={"limit": 3}))
    await waits(site)
    await tasks(web, "", "one", "two")
    assert [item["claim"] for item in (await waiting).json()["items"]] == ["1/1", "2/1"]


async def test_it_is_empty_when_the_time_is_over(web: httpx.AsyncClient) -> None:
    assert (await web.post("/tasks/claim?wait=0.3")).json() == NOTHING
    assert (await web.post("/tasks/claim")).json() == NOTHING


@pytest.mark.parametrize("wait", ["-1", "51", "nan", "inf", "x"])
async def test_it_waits_for_at_most_fifty_seconds(web: httpx.AsyncClient, wait: str) -> None:
    answer = await web.post(f"/tasks/claim?wait={wait}")
    refused(answer, 422, "invalid")
    assert answer.json()["errors"][0]["field"] == "query.wait"


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "mine"}], ids=["once", "with_a_key"])
async def test_who_hangs_up_gets_no_task(site: Site, web: httpx.AsyncClient, url: str, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=url, headers=web.headers) as gone:
        with pytest.raises(httpx.ReadTimeout):
            await gone.post("/tasks/claim?wait=50", headers=headers, timeout=1)
    await tasks(web, "", "one")
    await until(lambda: site.app.state.feed._channels == {}, PATIENCE)
    await asyncio.sleep(0.2)  # in which it would be claimed
    assert (await web.get("/tasks/1")).json()["status"] == "todo"


@pytest.mark.parametrize("how", ["revoked", "retired"])
async def test_a_key_that_opens_nothing_any_more_ends_its_wait(
    site: Site, web: httpx.AsyncClient, url: str, how: str
) -> None:
    made(await web.post("/members", json={"name": "tess"}))
    token = made(await web.post("/members/tess/tokens", json={}))
    tess = await site.caller(token["secret"], url)
    waiting = asyncio.create_task(tess.post("/tasks/claim?wait=50"))
    await waits(site)
    if how == "revoked":
        await web.delete(f"/members/tess/tokens/{token['id']}")
    else:
        await web.post("/members/tess/retire")
    async with asyncio.timeout(PATIENCE):
        assert (await waiting).json() == NOTHING
    await tasks(web, "", "one")
    assert (await web.get("/tasks/1")).json()["status"] == "todo"


async def test_a_foreign_squad_is_404_at_once(site: Site, admin: httpx.AsyncClient, web: httpx.AsyncClient) -> None:
    bob = await site.newcomer(admin, "bob@example.com")
    for path in ("/squads/web", "/squads/none"):
        assert refused(await bob.post(f"{path}/tasks/claim?wait=50"), 404, "not_found") == "Squad not found"


async def test_at_the_process_s_end_it_is_empty(site: Site, web: httpx.AsyncClient) -> None:
    waiting = asyncio.create_task(web.post("/tasks/claim?wait=50"))
    await waits(site)
    site.app.state.feed.end()
    async with asyncio.timeout(PATIENCE):
        assert (await waiting).json() == NOTHING
