"""The feed misses nothing, whatever happens on the way."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agentsquad.client import AsyncClient, Invalid, NotFound, Unauthenticated
from agentsquad.schemas.events import Event
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.steps import StepText
from agentsquad.schemas.tasks import TaskNew
from tests.campaigns.crew import until
from tests.cli.conftest import serving
from tests.client.ways import Way
from tests.conftest import new_database
from tests.live.stage import PATIENCE, meanwhile, piece, tell


@pytest.fixture
def address(server_url: str, template: str) -> Iterator[str]:
    with new_database(server_url, template) as url:
        yield url


async def test_it_goes_on_across_a_restart_and_misses_nothing(address: str, tmp_path: Path) -> None:
    with serving(tmp_path, address) as (site, server):
        port = int(site.url.rpartition(":")[2])
        async with AsyncClient(site.url, site.key, patience=60) as client:
            await client.create_squad(SquadNew(name="webshop"))
            async with contextlib.aclosing(client.feed()) as feed:
                assert [(await anext(feed)).position for _ in range(2)] == [1, 2]
                following = asyncio.create_task(anext(feed))
                server.kill()
                server.wait()
                with serving(tmp_path, address, port):
                    await client.create_tasks([TaskNew(title=str(number)) for number in range(5)])
                    assert (await following).position == 3
                    assert [(await anext(feed)).position for _ in range(4)] == [4, 5, 6, 7]


async def test_a_way_that_breaks_in_the_middle_of_events_costs_nothing(owner_of_web: AsyncClient, web: str) -> None:
    await owner_of_web.create_tasks([TaskNew(title=f"{number}", description="x" * 2_000) for number in range(50)])
    last = (await owner_of_web.board()).last
    async with Way(owner_of_web.url) as way, AsyncClient(way.url) as client:
        way.cut = 7_001
        async with contextlib.aclosing(client.feed()) as feed:
            found = [await anext(feed) for _ in range(last)]
    assert [event.position for event in found] == list(range(1, last + 1))
    assert way.cuts > 10


@pytest.mark.parametrize("title", ["a\u2028b\u2029c\x85d", "x\r\ny", "💥", "data: {}"])
async def test_no_text_breaks_it(owner_of_web: AsyncClient, title: str) -> None:
    last = (await owner_of_web.board()).last
    await owner_of_web.create_tasks([TaskNew(title=title)])
    async with contextlib.aclosing(owner_of_web.feed(last)) as feed:
        event = await anext(feed)
    assert event.data.model_dump()["title"] == title


async def test_it_can_be_narrowed(owner_of_web: AsyncClient) -> None:
    await owner_of_web.create_tasks([TaskNew(title="a"), TaskNew(title="b")])
    await owner_of_web.claim(2)
    async with contextlib.aclosing(owner_of_web.feed(task=2)) as feed:
        assert [(await anext(feed)).kind for _ in range(2)] == ["task.created", "task.claimed"]
    async with contextlib.aclosing(owner_of_web.feed(kinds=["task.claimed", "member.added"])) as feed:
        assert [(await anext(feed)).kind for _ in range(3)] == ["member.added", "member.added", "task.claimed"]


async def test_leaving_it_leaves_nothing(owner_of_web: AsyncClient) -> None:
    before = asyncio.all_tasks()
    feed = owner_of_web.feed()
    await anext(feed)
    waiting = asyncio.create_task(drained(feed))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await feed.aclose()
    assert asyncio.all_tasks() == before
    assert not owner_of_web._http._transport._pool.connections[1:]  # type: ignore[attr-defined]


async def drained(feed: AsyncIterator[Event]) -> None:
    async for _ in feed:
        pass


async def test_what_is_refused_ends_it(owner_of_web: AsyncClient) -> None:
    async with AsyncClient(key="sqd_wrong") as stranger:
        with pytest.raises(Unauthenticated):
            await anext(stranger.feed())
    async with AsyncClient(squad="nonesuch") as nowhere:
        with pytest.raises(NotFound):
            await anext(nowhere.feed())


@contextlib.asynccontextmanager
async def telling(*events: object, text: str = "") -> AsyncIterator[str]:
    """A newer server, whose log is this."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/stream" in head:
                body = text or "".join(
                    f"id: {place}\ndata: {json.dumps(event)}\n\n" for place, event in enumerate(events, 1)
                )
                kind = "text/event-stream"
            else:
                body, kind = json.dumps({"items": events, "last": len(events)}), "application/json"
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{body}".encode())
            await writer.drain()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_what_only_a_newer_server_knows_is_passed_over(owner_of_web: AsyncClient) -> None:
    known = (await owner_of_web.events(limit=1)).items[0].model_dump(mode="json")
    unknown = known | {"kind": "squad.teleported", "position": 1}
    newer = known | {"position": 2, "weather": "fine"}
    async with telling(unknown, newer) as url, AsyncClient(url, "sqd_x", squad="web") as client:
        assert [event.position for event in (await client.events()).items] == [2]
        async with contextlib.aclosing(client.feed()) as feed:
            assert (await anext(feed)).position == 2


async def test_what_is_no_event_is_one_sentence(owner_of_web: AsyncClient) -> None:
    async with telling({"kind": "task.claimed"}) as url, AsyncClient(url, "sqd_x", squad="web") as client:
        with pytest.raises(Invalid, match="is no Agent Squad"):
            await anext(client.feed())


async def test_text_comes_between_events_and_a_break_in_the_middle_of_it_costs_no_event(
    address: str, tmp_path: Path
) -> None:
    with serving(tmp_path, address) as (site, _):
        async with AsyncClient(site.url, site.key) as client, Way(site.url) as way:
            squad = await client.create_squad(SquadNew(name="webshop"))
            async with AsyncClient(way.url, site.key) as far, contextlib.aclosing(far.feed(text=True)) as feed:
                assert [getattr(await anext(feed), "position", 0) for _ in range(2)] == [1, 2]

                def say(offset: int) -> None:
                    tell(address, piece(squad.id, "once ", offset=offset))

                first = await meanwhile(lambda: say(0), text_at(feed, 0))
                assert (first.kind, first.task) == ("step.text", 1)
                way.cut = 1
                await meanwhile(lambda: say(5), until(lambda: way.cuts, PATIENCE))
                way.cut = None
                await client.create_tasks([TaskNew(title="x"), TaskNew(title="y")])
                seen: list[Event | StepText] = []
                while not seen or isinstance(seen[-1], StepText) or seen[-1].position < 4:
                    seen.append(await anext(feed))
                assert [each.position for each in seen if not isinstance(each, StepText)] == [3, 4]
                again = await meanwhile(lambda: say(10), text_at(feed, 10))
                assert (again.member, again.offset, again.text) == ("hal", 10, "once ")


async def text_at(feed: AsyncIterator[Event | StepText], offset: int) -> StepText:
    """The next text from there on."""
    async for each in feed:
        if isinstance(each, StepText) and each.offset == offset:
            return each
    raise AssertionError


async def test_text_that_is_none_is_one_sentence(owner_of_web: AsyncClient) -> None:
    body = 'event: step.text\ndata: {"task": "x"}\n\n'
    async with telling(text=body) as url, AsyncClient(url, "sqd_x", squad="web") as client:
        with pytest.raises(Invalid, match="is no Agent Squad"):
            await anext(client.feed(text=True))
