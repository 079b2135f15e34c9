"""What the process claimed: renewed while its client lives, released when it goes away."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentsquad.bridge import carrying
from agentsquad.client import AsyncClient
from tests.bridge.standin import (
    Client,
    Hang,
    StandIn,
    events,
    hang_up,
    result,
    says,
    tool,
)
from tests.bridge.test_carrying import cancel


async def claim(server: StandIn, client: Client, handle: str, **content: Any) -> None:
    server.script.append(tool(claim=handle, **content))
    client.call(handle, "claim_task")
    await client.result()


async def test_a_claim_is_renewed_until_it_is_live_no_more(server: StandIn, client: Client) -> None:
    await claim(server, client, "1/1", lease_seconds=1)
    await claim(server, client, "2/1", lease_seconds=1)
    await server.until(lambda: sum("1/1" in beat for beat in server.beats) == 3)
    server.lost.add("1/1")
    told = len(server.beats)
    await server.until(lambda: any("1/1" in beat for beat in server.beats[told:]))
    lost = len(server.beats)
    await server.until(lambda: sum("2/1" in beat for beat in server.beats[lost:]) == 2)
    assert [beat for beat in server.beats[lost:] if "1/1" in beat] == []
    await client.close()
    assert server.released == ["2/1"]


async def test_claims_of_short_and_long_leases_are_each_renewed_in_time(server: StandIn, client: Client) -> None:
    await claim(server, client, "1/1", lease_seconds=14_400)
    await claim(server, client, "2/1", lease_seconds=60)
    await server.until(lambda: any("2/1" in beat for beat in server.beats))
    told = len(server.beats)
    await claim(server, client, "3/1", lease_seconds=1)
    await server.until(lambda: len(server.beats) == told + 4)
    assert server.beats[told:] == [["3/1"]] * 4


async def test_a_claim_is_renewed_as_soon_as_it_is_held(server: StandIn, client: Client) -> None:
    await claim(server, client, "1/1", lease_seconds=14_400)
    await server.until(lambda: server.beats == [["1/1"]])
    await client.close()
    assert server.released == ["1/1"]


async def test_an_answer_that_is_so_old_that_its_claim_was_lost_is_not_held(server: StandIn, client: Client) -> None:
    server.lost.add("1/1")
    server.script = [hang_up]
    await claim(server, client, "1/1", lease_seconds=14_400)
    await server.until(lambda: server.beats == [["1/1"]])
    await claim(server, client, "2/1", lease_seconds=14_400)
    await server.until(lambda: server.beats == [["1/1"], ["2/1"]])
    await client.close()
    assert server.released == ["2/1"]


async def test_what_claimed_nothing_is_not_held(server: StandIn, client: Client) -> None:
    nothing = [
        tool(claim=None),
        tool(),
        tool(claim=7),
        result(content=[], structuredContent=None),
        result(content=[], structuredContent=["1/1"]),
        result(isError=True, content=[], structuredContent={"claim": "1/1"}),
        says("200 OK", '{"jsonrpc": "2.0", "id": 1, "result": "1/1"}'),
        says("200 OK", '{"jsonrpc": "2.0", "id": 1, "error": {"structuredContent": {"claim": "1/1"}}}'),
    ]
    for answer in nothing:
        server.script.append(answer)
        client.call(1, "claim_task")
        await client.heard()
    server.script.append(tool(claim="1/1"))
    client.call(1, "get_task")  # what another holds
    await client.result()
    await client.close()
    assert server.released == []


@pytest.mark.parametrize("lease", [None, 0, -1, "60", 1.5])
async def test_a_lease_that_is_not_told_is_a_minute(server: StandIn, client: Client, lease: object) -> None:
    await claim(server, client, "1/1", lease_seconds=lease)
    await server.until(lambda: server.beats)
    await client.close()
    assert (server.beats, server.released) == ([["1/1"]], ["1/1"])


async def test_a_claim_whose_answer_was_lost_is_held(server: StandIn, client: Client) -> None:
    server.script = [hang_up, events(whole=False), tool(claim="1/1", lease_seconds=1)]
    client.call(1, "claim_task")
    await client.result()
    await server.until(lambda: server.beats)
    await client.close()
    assert server.released == ["1/1"]


async def test_what_can_not_be_renewed_is_told_and_tried_again(server: StandIn, client: Client) -> None:
    beat = server.beat
    server.beat = says("401 Unauthorized", '{"code": "unauthenticated", "detail": "Revoked."}')
    await claim(server, client, "1/1", lease_seconds=1)
    assert await client.log() == "1/1 can't be renewed: Revoked.\n"
    server.beat = says("200 OK", "no gzip", Content_Encoding="gzip")
    assert "can't be renewed: " in await client.log()
    server.beat = beat
    await server.until(lambda: len(server.beats) == 4)


async def test_a_defect_that_ends_the_renewals_ends_the_session(
    server: StandIn, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AsyncClient, "heartbeat_all", lambda *_: 1 / 0)
    await claim(server, client, "1/1", lease_seconds=1)
    with pytest.raises(ZeroDivisionError):
        await client.bridge
    assert server.released == ["1/1"]
    client.bridge = asyncio.create_task(asyncio.sleep(0))  # it was seen


async def test_when_the_client_goes_away_all_is_released(server: StandIn, client: Client) -> None:
    for number in range(1, 6):
        await claim(server, client, f"{number}/1")
    await client.close()
    assert sorted(server.released) == [f"{number}/1" for number in range(1, 6)]


async def test_one_that_can_not_be_released_keeps_no_other(server: StandIn, client: Client) -> None:
    server.release = says("409 Conflict", '{"code": "lost_claim", "detail": "It is over."}')
    for number in (1, 2):
        await claim(server, client, f"{number}/1")
    await client.close()
    assert sorted(server.released) == ["1/1", "2/1"]


async def test_while_the_server_is_away_the_end_comes_all_the_same(
    server: StandIn, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "ENDING", 0.3)
    server.release = Hang(hang_up)
    await claim(server, client, "1/1")
    await client.close()
    assert await client.log() == "Not everything that is held could be released; it lapses by its lease.\n"


async def test_requests_under_way_are_hung_up_on_when_the_client_goes_away(server: StandIn, client: Client) -> None:
    slow = [Hang(hang_up), Hang(hang_up)]
    server.script = [*slow]
    for number in (1, 2):
        client.call(number, "wait")
    for each in slow:
        await each.came.wait()
    await client.close()
    for each in slow:
        await each.left.wait()
    assert await client.line() == b""


Go = Callable[[Client], Awaitable[None]]


async def go_away(client: Client) -> None:
    client.hang_up()


async def take_back(client: Client) -> None:
    cancel(client, 1)
    client.ask(2)
    await client.result()  # whose turn came later


@pytest.mark.parametrize("go", [go_away, take_back])
async def test_a_claim_that_nobody_waits_for_any_more_is_released(server: StandIn, client: Client, go: Go) -> None:
    slow = Hang(tool(claim="1/1"))
    server.script = [slow]
    client.call(1, "claim_task")
    await slow.came.wait()
    await go(client)
    slow.go.set()
    await server.until(lambda: server.released)
    await client.close()
    assert server.released == ["1/1"]


async def test_a_claim_that_does_not_come_about_is_not_waited_for_long(
    server: StandIn, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "GRACE", 0.1)
    slow = Hang(hang_up)
    server.script = [slow]
    client.call(1, "claim_task")
    await slow.came.wait()
    cancel(client, 1)
    async with asyncio.timeout(10):
        await slow.left.wait()


async def test_the_release_of_a_claim_that_came_late_is_not_cut_off(
    server: StandIn, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def noted(delay: float, *arguments: Any, **more: Any) -> asyncio.TimerHandle:
        timer = call_later(delay, *arguments, **more)
        timers.extend([timer] if delay == carrying.GRACE else [])
        return timer

    monkeypatch.setattr(carrying, "GRACE", 600.5)
    monkeypatch.setattr(loop, "call_later", noted)
    slow, other, release = Hang(tool(claim="1/1")), Hang(hang_up), Hang(server.release)
    server.script, server.release = [slow, other], release
    client.call(1, "claim_task")
    await slow.came.wait()
    client.call(2, "wait")
    await other.came.wait()
    for _ in range(2):
        cancel(client, 1)
    client.ask(3)
    await client.result()
    assert [timer.cancelled() for timer in timers] == [False]
    slow.go.set()
    await release.came.wait()
    client.hang_up()
    await other.left.wait()
    assert [timer.cancelled() for timer in timers] == [True]
    assert not release.left.is_set()
    release.go.set()
    await client.close()
    assert (server.beats, server.released) == ([], ["1/1"])


async def test_when_nobody_reads_it_is_as_if_the_client_had_gone(server: StandIn, client: Client) -> None:
    await claim(server, client, "1/1")
    client.stop_reading()
    client.ask(1)
    client.ask(2)
    async with asyncio.timeout(20):
        await client.bridge
    assert server.released == ["1/1"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_it_as_its_input_does(server: StandIn, client: Client, number: signal.Signals) -> None:
    release = server.release
    slow = server.release = Hang(release)
    await claim(server, client, "1/1")
    signal.raise_signal(number)
    await slow.came.wait()
    signal.raise_signal(number)  # clients send several, and wait between them for a moment only
    client.hang_up()
    slow.go.set()
    async with asyncio.timeout(20):
        await client.bridge
    assert server.released == ["1/1"]
