"""Tokens of an attempt."""

import httpx
import pytest

from tests.interfaces.http.conftest import Site, external, made, refused, squad, tasks


@pytest.fixture
async def web(ada: httpx.AsyncClient) -> str:
    web = await squad(ada)
    await tasks(ada, web, "one", "two")
    return web


@pytest.fixture
async def tess(site: Site, ada: httpx.AsyncClient, web: str) -> httpx.AsyncClient:
    return await external(site, ada, web, "tess")


async def token(holder: httpx.AsyncClient, web: str, claim: str) -> httpx.Response:
    return await holder.post(f"{web}/tasks/{claim.partition('/')[0]}/token", json={"claim": claim})


async def test_a_token_of_an_attempt_makes_none_that_outlives_it(site: Site, tess: httpx.AsyncClient, web: str) -> None:
    own, other = [(await tess.post(f"{web}/tasks/{number}/claim")).json()["items"][0]["claim"] for number in (1, 2)]
    child = await site.caller(made(await token(tess, web, own))["secret"])
    said = refused(await token(child, web, other), 403, "forbidden")
    assert said == "This token is good for the claim 1/1 only; ask with the member's own."
    grandchild = await site.caller(made(await token(child, web, own))["secret"])
    assert (await grandchild.get(f"{web}/tasks/1")).status_code == 200
    made(await token(tess, web, other))  # the control: the member's own token does
    await tess.post(f"{web}/tasks/1/release", json={"claim": own})
    site.app.state.credentials._known.clear()  # a second later
    for ended in (child, grandchild):
        refused(await ended.get(f"{web}/tasks/1"), 401, "unauthenticated")
