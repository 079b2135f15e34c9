"""The stream that tells a page that there is news."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest

from backend.interfaces import streams
from tests.interfaces.dashboard.conftest import OURS
from tests.interfaces.http.conftest import Site, external, listening, squad, tasks
from tests.interfaces.http.streaming import HELLO, Stream
from tests.live.stage import meanwhile, piece


@pytest.fixture
async def live(site: Site, tab: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """The browser, over a network: only there has a stream an end."""
    async with listening(site.app) as url, httpx.AsyncClient(base_url=url, headers=OURS, timeout=30) as client:
        client.cookies.set("agentsquad", tab.cookies["agentsquad"], domain="127.0.0.1")
        yield client


@asynccontextmanager
async def stream(live: httpx.AsyncClient, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with live.stream("GET", f"/ui/web/stream{query}", headers=named) as answer:
        assert answer.status_code == 200, await answer.aread()
        opened = Stream(answer)
        assert await opened.block() == HELLO
        yield opened


async def test_it_tells_of_news_and_not_what_they_are(ada: httpx.AsyncClient, live: httpx.AsyncClient) -> None:
    web = await squad(ada)
    async with stream(live, "?after=2") as feed:
        await tasks(ada, web, "secret plan")
        assert await feed.block() == "id: 3\nevent: news\ndata: 3"
        await tasks(ada, web, "two", "three")
        assert await feed.block() == "id: 5\nevent: news\ndata: 5"  # once for what comes together


@pytest.mark.parametrize(
    ("query", "headers"), [("?after=2", {}), ("", {"Last_Event_ID": "2"}), ("?after=4", {"Last_Event_ID": "2"})]
)
async def test_it_goes_on_where_it_was(
    ada: httpx.AsyncClient, live: httpx.AsyncClient, query: str, headers: dict[str, str]
) -> None:
    await tasks(ada, await squad(ada), "one", "two")
    async with stream(live, query, **headers) as feed:
        assert await feed.block() == "id: 4\nevent: news\ndata: 4"


@pytest.mark.parametrize("after", ["9" * 18, "x", "-1", "9" * 40])
async def test_a_position_that_is_none_makes_no_stream_deaf(
    ada: httpx.AsyncClient, live: httpx.AsyncClient, after: str
) -> None:
    web = await squad(ada)
    async with stream(live, f"?after={after}") as feed:
        await tasks(ada, web, "one")
        while "id: 3" not in (block := await feed.block()):
            assert block == "id: 2\nevent: news\ndata: 2"


async def test_it_says_that_it_lives(
    ada: httpx.AsyncClient, live: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SILENCE", 0.1)
    await squad(ada)
    async with stream(live, "?after=2") as feed:
        assert await feed.block() == "event: alive\ndata:"


async def test_a_server_that_stops_says_when_to_come_back(
    site: Site, ada: httpx.AsyncClient, live: httpx.AsyncClient
) -> None:
    await squad(ada)
    async with stream(live, "?after=2") as feed:
        site.app.state.feed.end()
        assert await feed.rest() == ["retry: 1000"]


@pytest.mark.parametrize("how", ["logged out", "removed"])
async def test_who_may_see_it_no_longer_hears_no_more(
    site: Site, admin: httpx.AsyncClient, ada: httpx.AsyncClient, live: httpx.AsyncClient, how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(streams, "CHECK", 0.1)
    web = await squad(admin)
    person = {"name": "ada", "kind": "person", "user": "ada@example.com"}
    assert (await admin.post(f"{web}/members", json=person)).status_code == 201
    async with stream(live, "?after=3") as feed:
        if how == "logged out":
            assert (await live.post("/logout", headers={"Origin": str(live.base_url).rstrip("/")})).status_code == 303
        else:
            await admin.post(f"{web}/members/ada/retire")
        blocks = await feed.rest()
        assert not re.search("retry", "".join(blocks))


async def test_another_s_squad_has_none(site: Site, admin: httpx.AsyncClient, live: httpx.AsyncClient) -> None:
    await external(site, admin, await squad(admin), "tess")
    assert (await live.get("/ui/web/stream")).status_code == 404


async def test_a_task_s_page_is_told_what_is_written_there_and_no_other(
    site: Site, ada: httpx.AsyncClient, live: httpx.AsyncClient
) -> None:
    squad_id = UUID((await ada.get(await squad(ada))).json()["id"])
    say = site.app.state.feed.say
    async with stream(live, "?after=2&task=7") as page, stream(live, "?after=2&task=x") as other:
        await meanwhile(lambda: say(piece(squad_id, "?", task=7, step=0)), page.text())
        say(piece(squad_id, "of 8", task=8))
        say(piece(squad_id, "of 7", task=7))
        while not (text := await page.text()).step:
            continue
        assert (text.task, text.text) == (7, "of 7")
        await tasks(ada, "/squads/web", "one")
        assert await other.block() == "id: 3\nevent: news\ndata: 3"
        assert await page.block() == "id: 3\nevent: news\ndata: 3"
