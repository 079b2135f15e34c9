import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from agentsquad.schemas.hosting import ToolServer
from backend.core.settings import Settings
from backend.runner import naming
from backend.runner.toolsets import DESCRIPTION, RESULT, Toolsets
from tests.runner.asked import local
from tests.runner.standin import StandIn
from tests.runner.toolshed import Shed, opened

CANARY = "canary-c3aa"


@pytest.fixture
async def shed() -> AsyncIterator[Shed]:
    async with opened(Shed()) as shed:
        yield shed


def servers(*urls: str) -> list[ToolServer]:
    return [ToolServer(name=f"shed{place}" if place else "shed", url=url) for place, url in enumerate(urls)]


async def test_tools_are_listed_and_called(shed: Shed) -> None:
    async with Toolsets(servers(shed.url), local()) as tools:
        assert shed.headers == []
        found = {tool.name: tool for tool in await tools.definitions()}
        assert tools.absent == []
        assert set(found) == {
            "shed__add",
            naming.of("shed", "read.file", ()),
            "shed__fail",
            "shed__look",
            "shed__echo",
            "shed__tell",
            "shed__hang",
        }
        add = found["shed__add"]
        assert add.description == "Add two numbers."
        assert add.parameters_json_schema["required"] == ["a", "b"]
        assert await tools.call("shed__add", {"a": 1, "b": 2}) == "3"
        assert await tools.call("shed__echo", {"text": "héllo"}) == "héllo\n"
        assert await tools.call("shed__look", {}) == "[image/png, 4 bytes]"
        assert await tools.call("shed__nothing", {}) == "There is no tool shed__nothing."
        assert shed.called == ["add"]
        again = {tool.name for tool in await tools.definitions()}
        assert again == set(found)


async def test_long_texts_are_cut_and_say_so(shed: Shed) -> None:
    async with Toolsets(servers(shed.url), local()) as tools:
        found = {tool.name: tool for tool in await tools.definitions()}
        assert found["shed__fail"].description == "d" * DESCRIPTION + "\n[4000 characters more are left out.]"
        read = naming.of("shed", "read.file", ())
        assert await tools.call(read, {"size": RESULT}) == "x" * RESULT
        assert await tools.call(read, {"size": RESULT + 7}) == "x" * RESULT + "\n[7 characters more are left out.]"


async def test_what_goes_wrong_is_told_to_the_model(shed: Shed) -> None:
    async with Toolsets(servers(shed.url), local()) as tools:
        await tools.definitions()
        said = await tools.call("shed__fail", {})
        assert said.startswith("The tool failed: ")
        assert "the disk is full" in said
        assert (await tools.call("shed__add", {"a": "many"})).startswith("The tool failed: ")
        assert await tools.call("shed__add", {"a": 1, "b": 2}) == "3"


async def test_a_private_server_is_refused_unless_allowed_and_keeps_nobody_from_working(shed: Shed) -> None:
    async with Toolsets(servers(shed.url), Settings()) as tools:
        assert await tools.definitions() == []
    why = f"{urlsplit(shed.url).netloc} is in a private network; the administrator can allow it with"
    assert tools.absent == [f"The tools of shed aren't there: {why} SQUAD_PRIVATE_NETWORKS."]
    assert shed.headers == []


async def test_servers_that_are_not_there_are_told_and_the_others_work(shed: Shed) -> None:
    async with StandIn() as other:
        other.policy = lambda body: {"garbage": True} if "id" in body else {"status": 500}
        gone = f"http://127.0.0.1:{_free()}/mcp"
        async with Toolsets(servers(shed.url, gone, other.url), local()) as tools:
            found = await tools.definitions()
            assert {tool.name.partition("__")[0] for tool in found} == {"shed"}
            assert len(tools.absent) == 2
            assert tools.absent[0].startswith("The tools of shed1 aren't there: the server can't be reached")
            assert tools.absent[1].startswith("The tools of shed2 aren't there: ")
            assert await tools.call("shed__add", {"a": 1, "b": 2}) == "3"


async def test_a_server_that_hangs_is_given_up(shed: Shed) -> None:
    async with StandIn() as other:
        other.policy = lambda _: {"hang": "silent"}
        async with Toolsets(servers(other.url), local(), connect=0.2) as tools:
            assert await tools.definitions() == []
            assert tools.absent == ["The tools of shed aren't there: the server didn't answer in time."]
        await asyncio.wait_for(other.calls[0].ended.wait(), 30)
        assert other.calls[0].left


async def test_a_tool_that_hangs_is_given_up_and_the_next_call_works(shed: Shed) -> None:
    async with Toolsets(servers(shed.url), local(), call=3) as tools:
        await tools.definitions()
        assert await tools.call("shed__hang", {}) == (
            "The tool gave no answer: the server didn't answer in time. Whether it did something is unknown."
        )
        assert shed.called == ["hang"]
        assert await tools.call("shed__echo", {"text": "on"}) == "on\n"


async def test_who_cancels_a_call_is_gone_at_once(shed: Shed) -> None:
    async with Toolsets(servers(shed.url), local()) as tools:
        await tools.definitions()
        calling = asyncio.ensure_future(tools.call("shed__hang", {}))
        await asyncio.wait_for(shed.entered.wait(), 30)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert await tools.call("shed__echo", {"text": "on"}) == "on\n"


async def test_a_server_that_was_restarted_is_found_again() -> None:
    shed = Shed()
    async with opened(shed):
        port = urlsplit(shed.url).port or 0
        tools = Toolsets(servers(shed.url), local(), connect=5, call=5)
        await tools.definitions()
        assert await tools.call("shed__echo", {"text": "on"}) == "on\n"
    async with tools:
        assert "Whether it did something is unknown." in await tools.call("shed__echo", {"text": "on"})
        async with opened(shed, port):
            assert await tools.call("shed__echo", {"text": "on"}) == "on\n"


async def test_a_key_opens_its_server_and_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with opened(Shed(key=CANARY)) as shed:
        async with Toolsets(servers(shed.url), local()) as tools:
            assert await tools.definitions() == []
            assert "status 401, and may want a key of SQUAD_KEYS" in tools.absent[0]
        place = urlsplit(shed.url).netloc
        async with Toolsets(servers(shed.url), local(f"{place}={CANARY}")) as tools:
            assert await tools.definitions()
            assert await tools.call("shed__echo", {"text": f"my {CANARY}"}) == "my [key]\nBearer [key]"
            assert CANARY not in repr(tools) + repr(vars(tools)["_servers"])
    assert all(CANARY not in each.getMessage() for each in caplog.records if each.name.startswith("backend"))


@pytest.mark.parametrize("tool", ["a.b", "a/b", "a b", "ü", "", "x" * 100, "a\ud800"])
def test_every_provider_takes_a_name(tool: str) -> None:
    name = naming.of("my.server", tool, ())
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
    assert name == naming.of("my.server", tool, ())


def test_no_two_tools_have_one_name() -> None:
    taken: list[str] = []
    for server, tool in (("a", "b__c"), ("a__b", "c"), ("a", "b.c"), ("a", "b/c"), ("a", "x" * 99), ("a", "x" * 98)):
        taken.append(naming.of(server, tool, taken))
    assert len(set(taken)) == len(taken)


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
