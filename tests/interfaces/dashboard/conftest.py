"""The page's visitors, without a browser: cookies are kept, and requests say where they come from."""

import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.interfaces.http.conftest import (  # noqa: F401  (fixtures)
    Site,
    ada,
    admin,
    external,
    made,
    settings,
    site,
    squad,
    tasks,
)
from tests.operations import journal

HOST = "http://squads.test"
OURS = {"Origin": HOST, "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
CARDS = re.compile(r'<li class="card [^"]*" id="t(\d+)"')


def key_of(client: httpx.AsyncClient) -> str:
    return client.headers["Authorization"].removeprefix("Bearer ")


async def logged_in(site: Site, account: httpx.AsyncClient) -> httpx.AsyncClient:  # noqa: F811  (a fixture's name)
    """A browser's tab of an account."""
    tab = await site.caller()
    tab.headers.update(OURS)
    answer = await tab.post("/login", data={"key": key_of(account)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/"), answer.text
    return tab


@pytest.fixture
async def tab(site: Site, ada: httpx.AsyncClient) -> httpx.AsyncClient:  # noqa: F811  (fixtures)
    """Ada's browser."""
    return await logged_in(site, ada)


async def worked(site: Site, owner: httpx.AsyncClient, claim: str, said: str, **more: Any) -> None:  # noqa: F811  (a fixture's name)
    """Let tess, who holds a task of the squad, do what a hosted member does."""
    of_squad, of_tess = [(await owner.get(f"/squads/web{path}")).json()["id"] for path in ("", "/members/tess")]
    await journal.keep(site.app.state.database, UUID(of_squad), UUID(of_tess), claim, said, **more)


async def full_of(site: Site, ada: httpx.AsyncClient, evil: str) -> list[str]:  # noqa: F811  (fixtures' names)
    """A squad with a text in each field that takes one; the pages that show it."""
    web = await squad(ada)
    tess = await external(site, ada, web, "tess", instructions=evil)
    made(await ada.post(f"{web}/members", json={"name": "hal", "kind": "hosted", "hosting": {"model": evil[:200]}}))
    await ada.post(f"{web}/members/hal/pause")
    more = {"description": evil, "input": {evil: [evil]}, "review": ""}
    await tasks(ada, web, evil[:200], **more)
    claim = (await tess.post(f"{web}/tasks/claim")).json()["items"][0]["claim"]
    await tess.post(f"{web}/tasks/1/fail", json={"claim": claim, "reason": evil, "retry": True})
    claim = (await tess.post(f"{web}/tasks/claim")).json()["items"][0]["claim"]
    await worked(site, ada, claim, evil)
    await tess.post(f"{web}/tasks/1/complete", json={"claim": claim, "result": {evil: evil}})
    for to in ({"task": 1}, {"all": True}, {"to": "owner"}):
        made(await tess.post(f"{web}/messages", json={"body": evil, **to}))
    await tasks(ada, web, evil[:200], assignee="owner", description=evil)
    await ada.post(f"{web}/tasks/2/block", json={"reason": evil})
    await ada.post(f"{web}/tasks/2/resume")
    await tasks(ada, web, "three")
    await ada.post(f"{web}/tasks/3/cancel", json={"reason": evil})
    made(await ada.post(f"{web}/members/tess/tokens", json={"name": evil[:64]}))
    return ["", "/tasks/1", "/tasks/2", "/tasks/3", "/graph", "/inbox", "/members", "/feed"]
