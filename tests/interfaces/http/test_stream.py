"""The feed over HTTP, as server-sent events."""

import asyncio
import socket
import tracemalloc
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest

from agentsquad.schemas import limits
from backend.interfaces import streams
from tests.campaigns.crew import until
from tests.interfaces.http.conftest import Site, listening, made, refused, squad, tasks
from tests.interfaces.http.streaming import PATIENCE, Stream, stream
from tests.live.stage import meanwhile, piece


@pytest.fixture
async def url(site: Site) -> AsyncIterator[str]:
    async with listening(site.app) as url:
        yield url


@pytest.fixture
async def web(site: Site, url: str) -> httpx.AsyncClient:
    """The owner, at its squad's address; the log has two events."""
    owner = await site.caller(site.key, url)
    owner.base_url = httpx.URL(url + await squad(owner))
    return owner


async def log(web: httpx.AsyncClient, query: str = "") -> list[object]:
    items: list[object] = (await web.get(f"/events?limit=200{query}")).json()["items"]
    return items


async def test_a_stream_says_what_the_log_says(web: httpx.AsyncClient) -> None:
    async with stream(web) as feed:
        assert feed.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert feed.answer.headers["cache-control"] == "no-store"
        await tasks(web, "", "Zwölf\nBoxkämpfer 🥊", input={"a": ["\n\ndata: 1\r\n"]})
        made(await web.post("/messages", json={"all": True, "body": "id: 7\n\n"}))
        assert await feed.events(4) == await log(web)


async def test_its_very_bytes_are_those_of_a_page(web: httpx.AsyncClient) -> None:
    page = (await web.get("/events?after=1")).text
    async with stream(web, "?after=1") as feed:
        assert (await feed.block()).partition("\ndata: ")[2] in page


@pytest.mark.parametrize("after", [0, 1, 2, 5])
async def test_it_goes_on_behind_any_position(web: httpx.AsyncClient, after: int) -> None:
    await tasks(web, "", "one", "two")
    async with stream(web, f"?after={after}") as feed, stream(web, "?after=1", Last_Event_ID=str(after)) as again:
        await tasks(web, "", *"abc")
        wanted = list(range(after + 1, 8))
        assert [event["position"] for event in await feed.events(7)] == wanted
        assert [event["position"] for event in await again.events(7)] == wanted


@pytest.mark.parametrize(
    ("query", "positions"),
    [("task=1", [3, 5, 6]), ("kind=task.claimed", [5]), ("kind=task.claimed&kind=task.created", [3, 4, 5]),
     ("task=1&kind=task.created", [3])],
)  # fmt: skip
async def test_only_what_is_chosen_comes(web: httpx.AsyncClient, query: str, positions: list[int]) -> None:
    async with stream(web, f"?{query}") as feed:
        await tasks(web, "", "one", "two")
        await web.post("/tasks/1/claim")
        await web.post("/tasks/1/complete", json={"claim": "1/1"})
        seen = await feed.events(positions[-1])
        assert [event["position"] for event in seen] == positions
        assert seen == await log(web, f"&{query}")


async def test_all_get_the_same_bytes_which_are_made_once(site: Site, web: httpx.AsyncClient) -> None:
    async with stream(web, "?after=2") as one, stream(web, "?after=2") as other:
        await tasks(web, "", "one")
        assert await one.events(3) == await other.events(3)
        (channel,) = site.app.state.feed._channels.values()
        told = channel.recent[-1]
        assert told.wire is not None
        assert streams._frame(told) is told.wire


@pytest.mark.parametrize("last", ["", "x", "-1", "1.0", "٣", "9" * 19, "1,2", "+1"])
async def test_a_last_event_id_is_a_position(web: httpx.AsyncClient, last: str) -> None:
    answer = await web.get("/events/stream", headers=httpx.Headers({"Last-Event-ID": last}, encoding="utf-8"))
    assert refused(answer, 422, "invalid") == "The header Last-Event-ID has to be a position of the log."
    assert answer.json()["errors"][0]["field"] == "header.last-event-id"


@pytest.mark.parametrize(
    ("query", "field"),
    [("kind=task.exploded", "query.kind"), ("kind=", "query.kind"), ("after=-1", "query.after"),
     (f"after={limits.POSITION_MAX + 1}", "query.after"), ("task=0", "query.task")],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/events", "/events/stream"])
async def test_what_would_wait_for_ever_is_refused(web: httpx.AsyncClient, path: str, query: str, field: str) -> None:
    answer = await web.get(f"{path}?{query}")
    refused(answer, 422, "invalid")
    assert answer.json()["errors"][0]["field"] == field


async def test_who_may_not_read_gets_an_error_and_no_stream(
    site: Site, admin: httpx.AsyncClient, web: httpx.AsyncClient, url: str
) -> None:
    bob = await site.newcomer(admin, "bob@example.com")
    for path in ("/squads/web", "/squads/none"):
        assert refused(await bob.get(f"{path}/events/stream"), 404, "not_found") == "Squad not found"
    refused(await (await site.caller(None, url)).get("/squads/web/events/stream"), 401, "unauthenticated")


@pytest.mark.parametrize("how", ["revoked", "retired"])
async def test_a_key_that_opens_nothing_any_more_ends_its_stream(
    site: Site, web: httpx.AsyncClient, url: str, how: str
) -> None:
    made(await web.post("/members", json={"name": "tess"}))
    token = made(await web.post("/members/tess/tokens", json={}))
    tess = await site.caller(token["secret"], f"{url}/squads/web")
    async with stream(web) as owners, stream(tess, "?after=4") as feed:
        if how == "revoked":
            await web.delete(f"/members/tess/tokens/{token['id']}")
        else:
            await web.post("/members/tess/retire")
        async with asyncio.timeout(PATIENCE):
            assert not [block for block in await feed.rest() if block.startswith("retry")]
        refused(await tess.get("/events/stream"), 401, "unauthenticated")
        assert [event["position"] for event in await owners.events(5)] == [1, 2, 3, 4, 5]


async def test_a_silent_stream_says_that_it_lives(web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SILENCE", 0.1)
    async with stream(web, "?after=2") as feed:
        assert [await feed.block() for _ in range(3)] == [":"] * 3
        await tasks(web, "", "one")
        assert (await feed.event())["position"] == 3


async def test_when_the_server_stops_a_stream_says_when_to_come_again(site: Site, web: httpx.AsyncClient) -> None:
    async with stream(web, "?after=2") as feed:
        site.app.state.feed.end()
        assert await feed.rest() == ["retry: 1000"]
    assert site.app.state.feed._channels == {}


async def test_who_leaves_is_forgotten(site: Site, web: httpx.AsyncClient) -> None:
    async with stream(web), stream(web):
        assert [channel.followers for channel in site.app.state.feed._channels.values()] == [2]
    await until(lambda: site.app.state.feed._channels == {}, PATIENCE)


async def test_a_slow_reader_costs_little_and_misses_nothing(site: Site, web: httpx.AsyncClient, url: str) -> None:
    amount, size = 4_000, 20_000
    parts = urlsplit(url)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, (parts.hostname, parts.port))
        request = f"GET /squads/web/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.key}\r\n\r\n"
        await loop.sock_sendall(slow, request.encode())
        await until(lambda: site.app.state.feed._channels, PATIENCE)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(20):
                await tasks(web, "", *["x"] * (amount // 20), description="x" * size)
            (channel,) = site.app.state.feed._channels.values()
            await until(lambda: channel.last == amount + 2, PATIENCE)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert grown < amount * size / 2
        seen: list[bytes] = []
        rest = b""
        async with asyncio.timeout(60):
            while len(seen) < amount + 2:
                *lines, rest = (rest + await loop.sock_recv(slow, 1 << 20)).split(b"\n")
                seen += [line for line in lines if line.startswith(b"id: ")]
        assert seen == [b"id: %d" % position for position in range(1, amount + 3)]


async def test_text_comes_to_who_asks_for_it_and_has_no_id(site: Site, web: httpx.AsyncClient) -> None:
    live = site.app.state.feed
    squad_id = await id_of(web)
    async with stream(web, "?after=2&text=true") as hearing, stream(web, "?after=2") as deaf:
        await hears(site, hearing, squad_id)
        for text in ("a\n\ndata: 1\r\nid: 7", "\u2028 💥", "x" * 1_200):
            live.say(piece(squad_id, text, task=7))
            assert await said(hearing) == (7, text)
        await tasks(web, "", "one")
        assert (await hearing.event())["position"] == (await deaf.event())["position"] == 3
        live.say(piece(squad_id, "after it"))
        assert await said(hearing) == (1, "after it")
    async with stream(web, "?after=0&text=true", Last_Event_ID="3") as again:
        await tasks(web, "", "two")
        assert (await again.event())["position"] == 4


async def test_text_is_narrowed_to_a_task_but_not_by_kinds(site: Site, web: httpx.AsyncClient) -> None:
    live = site.app.state.feed
    squad_id = await id_of(web)
    async with stream(web, "?after=2&text=true&task=1&kind=task.failed") as feed:
        await hears(site, feed, squad_id)
        for place, task in enumerate((2, 1, 3, 1)):
            live.say(piece(squad_id, f"of {task}", task=task, offset=place))
        await tasks(web, "", "one")
        assert [await said(feed) for _ in range(2)] == [(1, "of 1")] * 2


async def test_who_is_no_part_of_a_squad_hears_none_of_it(
    site: Site, admin: httpx.AsyncClient, web: httpx.AsyncClient, url: str
) -> None:
    squad_id = await id_of(web)
    bob = await site.caller(key_of(await site.newcomer(admin, "bob@example.com")), url)
    theirs = made(await bob.post("/squads", json={"name": "theirs"}))["id"]
    refused(await bob.get(f"/squads/{squad_id}/events/stream?text=true"), 404, "not_found")
    async with (
        stream(bob, "?after=2&text=true", squad="/squads/theirs") as foreign,
        stream(web, "?after=2&text=true") as ours,
    ):
        await hears(site, ours, squad_id)
        await hears(site, foreign, UUID(theirs))
        site.app.state.feed.say(piece(squad_id, "ours alone"))
        assert await said(ours) == (1, "ours alone")
        site.app.state.feed.say(piece(UUID(theirs), "theirs"))
        assert await said(foreign) == (1, "theirs")


async def test_what_is_neither_true_nor_false_is_refused(web: httpx.AsyncClient) -> None:
    answer = await web.get("/events/stream?text=perhaps")
    refused(answer, 422, "invalid")
    assert answer.json()["errors"][0]["field"] == "query.text"


async def id_of(web: httpx.AsyncClient) -> UUID:
    return UUID((await web.get(str(web.base_url).rstrip("/"))).json()["id"])


def key_of(client: httpx.AsyncClient) -> str:
    return client.headers["Authorization"].removeprefix("Bearer ")


async def hears(site: Site, feed: Stream, squad_id: UUID) -> None:
    """The bell hears what is said, and this stream, too."""
    await meanwhile(lambda: site.app.state.feed.say(piece(squad_id, "", step=0)), feed.text())


async def said(feed: Stream) -> tuple[int, str]:
    """The next text but for that: its task, and what it says."""
    while not (text := await feed.text()).step:
        continue
    return text.task, text.text
