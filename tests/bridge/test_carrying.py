"""A session against a server by script: what is carried, and what becomes of it when things go wrong."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from agentsquad.bridge import carrying, lines, posting
from agentsquad.bridge.messages import CANCELLED, INVALID_REQUEST, NO_ANSWER, PARSE_ERROR, VERSION
from tests.bridge.standin import (
    SQUAD,
    TOKEN,
    Answer,
    Client,
    Hang,
    StandIn,
    bridged,
    cut,
    echo,
    events,
    hang_up,
    result,
    says,
    tool,
)

REMEDY = f"run `asq connect CLIENT --squad {SQUAD} --as ada` again, then start the client anew."
MODERN = {"_meta": {VERSION: "2026-07-28"}}
HEADERS = {"content-type", "host", "user-agent", "connection", "content-length", "accept-encoding"}
RPC = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "No.", "data": {"detail": "Revoked."}}}
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
DONE = {"jsonrpc": "2.0", "id": 1, "result": {"done": True}}


async def test_after_a_handshake_messages_carry_what_was_agreed_on(server: StandIn, client: Client) -> None:
    server.script = [result(protocolVersion="2025-06-18")]
    client.ask(1, "initialize", protocolVersion="2025-11-25")
    assert (await client.result())["protocolVersion"] == "2025-06-18"
    client.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    await server.until(lambda: len(server.asked) == 2)
    client.ask(2, "tools/list")
    assert await client.result() == {"echo": "tools/list"}
    assert [asked.headers.get("mcp-protocol-version") for asked in server.asked] == [None, "2025-06-18", "2025-06-18"]
    assert {name: value for name, value in server.asked[0].headers.items() if name not in HEADERS} == {
        "accept": "application/json, text/event-stream",
        "authorization": f"Bearer {TOKEN}",
        "squad-heartbeat": "client",
    }
    assert all(asked.headers["content-type"] == "application/json" for asked in server.asked)


async def test_messages_that_say_their_version_are_told_by_their_headers(server: StandIn, client: Client) -> None:
    client.ask(1, "server/discover", **MODERN)
    await client.result()
    client.ask(2, "tools/call", name="whoami", **MODERN)
    await client.result()
    client.ask(3, "resources/read", uri="squad://tasks/ö 1", **MODERN)
    await client.result()
    client.send({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})
    await server.until(lambda: len(server.asked) == 4)
    assert [
        [asked.headers.get(f"mcp-{name}") for name in ("protocol-version", "method", "name")] for asked in server.asked
    ] == [
        ["2026-07-28", "server/discover", None],
        ["2026-07-28", "tools/call", "whoami"],
        ["2026-07-28", "resources/read", "=?base64?c3F1YWQ6Ly90YXNrcy/DtiAx?="],
        ["2026-07-28", None, None],
    ]


async def test_a_client_that_falls_back_to_the_handshake_is_followed(server: StandIn, client: Client) -> None:
    server.script = [echo, result(protocolVersion="2025-11-25"), echo]
    client.ask(1, "server/discover", **MODERN)
    await client.result()
    client.ask(2, "initialize")
    await client.result()
    client.ask(3)
    await client.result()
    versions = [asked.headers.get("mcp-protocol-version") for asked in server.asked]
    assert versions == ["2026-07-28", None, "2025-11-25"]


@pytest.mark.parametrize("name", [" x", "a\r\nSquad-Member: owner", "\0", "=?base64?eA==?=", "ö" * 100])
async def test_no_name_becomes_a_header_of_its_own(server: StandIn, client: Client, name: str) -> None:
    client.ask(1, "tools/call", name=name, **MODERN)
    assert await client.result() == {"echo": "tools/call"}
    headers = server.asked[0].headers
    assert "squad-member" not in headers
    assert headers["mcp-name"].startswith("=?base64?")


async def test_lines_go_on_as_they_came(server: StandIn, client: Client) -> None:
    line = b'{"jsonrpc":"2.0",  "id":1,"method":"ping","params":{"x":1.10,"y":"\xc3\xb6\\ud800"}}'
    client.send(line)
    await client.result()
    assert server.asked[0].text == line


@pytest.mark.parametrize(
    "text",
    [
        '{\n  "jsonrpc": "2.0",\r\n "id": 1,\t"result": {"a": "ö"}}',
        '{"id": 1, "result": {"a": "ö"}, "x": "\u2028\x85"}',
    ],
)
async def test_every_answer_is_one_line(server: StandIn, client: Client, text: str) -> None:
    server.script = [says("200 OK", text)]
    client.ask(1)
    line = await client.line()
    assert json.loads(line) == json.loads(text)
    assert len(line.decode().splitlines()) == 1


async def test_what_is_said_before_the_answer_comes_before_it(server: StandIn, client: Client) -> None:
    comment, priming, other = ": ping\n\n", "id: 1\ndata: \n\n", "event: other\ndata: {}\n\n"
    server.script = [events(comment, priming, PROGRESS, other, PROGRESS | {"params": {"progress": 2}}, DONE)]
    client.call(1)
    said = [await client.heard() for _ in range(3)]
    assert [each.get("params", {}).get("progress") for each in said] == [1, 2, None]
    assert said[2] == DONE


async def test_many_are_under_way_at_once(server: StandIn, client: Client) -> None:
    slow = Hang(echo)
    server.script = [slow]
    client.ask("slow", "wait")
    await slow.came.wait()
    for number in range(100):
        client.ask(number)
    assert {(await client.heard())["id"] for _ in range(100)} == set(range(100))
    slow.go.set()
    assert (await client.heard())["id"] == "slow"


@pytest.mark.parametrize(
    "broken",
    [
        hang_up,
        cut,
        events(whole=True),
        events(PROGRESS, whole=False),
        events(whole=False),
        says("503 Service Unavailable", '{"code": "overloaded", "detail": "Full."}', Retry_After="0"),
        says("502 Bad Gateway", "<h1>"),
        says("504 Gateway Timeout", ""),
    ],
)
async def test_what_gets_no_answer_is_sent_again_under_the_same_key(
    server: StandIn, client: Client, broken: Answer
) -> None:
    server.script = [broken, broken, tool(done=True)]
    client.call(1, "complete_task", claim="1/1")
    said = await client.heard()
    while "method" in said:  # progress that was told
        said = await client.heard()
    assert said["result"]["structuredContent"] == {"done": True}
    assert len(server.asked) == 3
    assert len({(asked.text, asked.key) for asked in server.asked}) == 1


async def test_each_call_has_a_key_of_its_own_and_nothing_else_has_one(server: StandIn, client: Client) -> None:
    for number in range(3):
        client.call(number)
        await client.result()
    client.ask(3)
    await client.result()
    keys = [asked.key for asked in server.asked]
    assert len(set(keys)) == 4
    assert keys[3] is None


async def test_the_server_is_left_alone_for_as_long_as_it_asks(server: StandIn, client: Client) -> None:
    server.script = [says("503 Service Unavailable", "", Retry_After="1"), echo]
    before = asyncio.get_running_loop().time()
    client.ask(1)
    await client.result()
    assert asyncio.get_running_loop().time() - before >= 1


@pytest.mark.parametrize(
    ("method", "broken", "reason", "look"),
    [
        ("ping", hang_up, "Server disconnected without sending a response", ""),
        ("tools/call", events(), "the answer was cut off", " and see what came of it,"),
        ("ping", says("503 Service Unavailable", '{"code": "overloaded", "detail": "Full."}'), "Full", ""),
        ("ping", says("503 Service Unavailable", "", Retry_After="3600"), "The server answered 503", ""),
    ],
)
async def test_a_server_that_stays_away_is_given_up(
    server: StandIn,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    broken: Answer,
    reason: str,
    look: str,
) -> None:
    monkeypatch.setattr(posting, "PATIENCE", 0.5)
    server.script = [broken] * 20
    client.ask(1, method)
    assert await client.error() == {
        "code": NO_ANSWER,
        "message": f"No answer from {server.url} ({reason}); start it with `asq serve`,{look} then ask again.",
        "data": {"code": "unreachable"},
    }
    server.script = []
    client.ask(2)
    assert await client.result() == {"echo": "ping"}


async def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "PATIENCE", 0.5)
    monkeypatch.setattr(posting, "TIMEOUT", httpx.Timeout(0.2))
    async with bridged() as (server, client):
        server.script = [Hang(echo) for _ in range(20)]
        client.ask(1)
        assert "(ReadTimeout)" in (await client.error())["message"]


async def test_where_no_server_is_the_error_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "PATIENCE", 0.1)
    async with StandIn() as server:
        url = server.url
    async with Client(url) as client:
        client.ask(1)
        message = (await client.error())["message"]
        assert (
            message
            == f"No answer from {url} (All connection attempts failed); start it with `asq serve`, then ask again."
        )


@pytest.mark.parametrize(
    ("status", "text", "detail", "code"),
    [
        ("401 Unauthorized", json.dumps(RPC), "Revoked", "unauthenticated"),
        ("401 Unauthorized", '{"code": "unauthenticated", "detail": "Revoked."}', "Revoked", "unauthenticated"),
        ("401 Unauthorized", '{"error": "invalid_token"}', "The server answered 401", "unauthenticated"),
        ("403 Forbidden", "<h1>", "The server answered 403", "forbidden"),
    ],
)
async def test_who_is_let_in_no_more_reads_what_to_do(
    server: StandIn, client: Client, status: str, text: str, detail: str, code: str
) -> None:
    server.script = [says(status, text)]
    client.call(1)
    said = await client.heard()
    sentence = f"{server.url} doesn't let ada in ({detail}); {REMEDY}"
    assert said == {
        "jsonrpc": "2.0", "id": 1, "error": {"code": NO_ANSWER, "message": sentence, "data": {"code": code}}
    }  # fmt: skip
    assert len(server.asked) == 1


async def test_without_a_token_the_log_and_each_answer_say_what_to_do() -> None:
    async with bridged(token=None) as (server, client):
        assert await client.log() == f"There is no token of ada; {REMEDY}\n"
        server.script = [says("401 Unauthorized", '{"code": "unauthenticated", "detail": "No key."}')]
        client.ask(1)
        assert (await client.error())["message"] == f"{server.url} doesn't let ada in (No key); {REMEDY}"
        assert "authorization" not in server.asked[0].headers


async def test_a_token_that_can_not_be_sent_is_not_told() -> None:
    async with bridged(token="sqm_secret\r\nx") as (server, client):
        client.ask(1)
        line = (await client.line()).decode()
        assert f"(the token can't be sent); {REMEDY}" in line
        assert "sqm_secret" not in line
        assert server.asked == []


@pytest.mark.parametrize(
    "foreign",
    [
        says("200 OK", "<h1>Welcome</h1>", "text/html"),
        says("200 OK", "{}"),
        says("200 OK", "[" * 100_000),
        says("200 OK", b"\xff\xfe\x00", "application/octet-stream"),
        says("200 OK", b"no gzip", Content_Encoding="gzip"),
        says("202 Accepted", ""),
        events("data: <h1>\n\n"),
    ],
)
async def test_what_is_no_answer_is_said_to_be_none(server: StandIn, client: Client, foreign: Answer) -> None:
    server.script = [foreign]
    client.ask(1)
    error = await client.error()
    assert error["message"] == f"What answers at {server.url} doesn't speak MCP; check SQUAD_URL."
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "413 Content Too Large", "500 Oops", "307 Temporary Redirect"])
async def test_another_status_is_told(server: StandIn, client: Client, status: str) -> None:
    for text in ("<h1>", "[" * 100_000, "[]", ""):
        server.script = [says(status, text, Location="http://elsewhere.example")]
        client.ask(1)
        assert (await client.error())["message"] == f"The server answered {status[:3]}."


@pytest.mark.parametrize("id_", [1, None, "other"])
async def test_an_error_that_the_server_says_is_the_answer(server: StandIn, client: Client, id_: object) -> None:
    error = {"code": -32020, "message": "header mismatch", "data": {"x": 1}}
    server.script = [says("400 Bad Request", json.dumps({"jsonrpc": "2.0", "id": id_, "error": error}))]
    client.ask(1)
    assert await client.heard() == {"jsonrpc": "2.0", "id": 1, "error": error}


async def test_what_is_no_message_is_refused_and_it_goes_on(server: StandIn, client: Client) -> None:
    for line, code in ((b"{", PARSE_ERROR), (b"\xff", PARSE_ERROR), (b"[]", INVALID_REQUEST)):
        client.send(line)
        said = await client.heard()
        assert (said["id"], said["error"]["code"]) == (None, code)
    for line in (b"", b"  ", b"\r"):
        client.send(line)
    client.ask(1)
    assert await client.result() == {"echo": "ping"}
    assert len(server.asked) == 1


async def test_a_line_that_is_too_long_is_refused_and_one_that_is_not_goes_on(server: StandIn, client: Client) -> None:
    head, end = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"', b'"}}'
    longest = head + b"x" * (lines.LONGEST - len(head) - len(end)) + end
    await asyncio.to_thread(send_all, client, head + b"x" * 3 * lines.LONGEST + end)
    error = await client.error()
    assert error == {"code": INVALID_REQUEST, "message": "A message has at most 4 MiB; send less at once."}
    await asyncio.to_thread(send_all, client, longest)
    assert await client.result() == {"echo": "ping"}
    assert server.asked[0].text == longest


def send_all(client: Client, line: bytes) -> None:
    with open(client.input, "wb", closefd=False) as file:
        file.write(line + b"\n")


async def test_an_id_is_used_once_at_a_time(server: StandIn, client: Client) -> None:
    slow = Hang(echo)
    server.script = [slow]
    client.ask(1)
    await slow.came.wait()
    client.ask(1)
    error = await client.error()
    assert error == {"code": INVALID_REQUEST, "message": "A request with this id is under way; give each its own."}
    client.ask("1")
    assert (await client.heard())["id"] == "1"
    slow.go.set()
    assert (await client.heard())["id"] == 1
    client.ask(1)
    assert await client.result() == {"echo": "ping"}


async def test_no_more_than_so_many_are_under_way(
    server: StandIn, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "MOST", 2)
    slow = [Hang(echo), Hang(echo)]
    server.script = [*slow]
    for number in range(3):
        client.ask(number)
    said = await client.heard()
    assert (said["id"], said["error"]["message"]) == (2, "2 requests are under way; wait for some answers first.")
    for each in slow:
        each.go.set()
    assert {(await client.heard())["id"] for _ in slow} == {0, 1}


async def test_what_the_client_takes_back_is_hung_up_on_and_not_answered(server: StandIn, client: Client) -> None:
    slow = Hang(echo)
    server.script = [slow]
    client.call(1, "wait")
    await slow.came.wait()
    cancel(client, 1)
    async with asyncio.timeout(10):
        await slow.left.wait()
    unknown: Any
    for unknown in (1, 2, "1", None, [], {}):
        cancel(client, unknown)
    client.ask(3)
    assert (await client.heard())["id"] == 3
    assert [asked.body["method"] for asked in server.asked] == ["tools/call", "ping"]


async def test_what_is_taken_back_while_the_server_is_away_is_not_sent_again(server: StandIn, client: Client) -> None:
    server.script = [says("503 Service Unavailable", "", Retry_After="5"), echo]
    client.call(1, "wait")
    await server.until(lambda: server.asked)
    cancel(client, 1)
    client.ask(2)
    assert (await client.heard())["id"] == 2
    assert len(server.asked) == 2


def cancel(client: Client, id_: Any) -> None:
    client.send({"jsonrpc": "2.0", "method": CANCELLED, "params": {"requestId": id_, "reason": "Esc"}})


async def test_a_notification_is_not_answered_whatever_becomes_of_it(
    server: StandIn, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "PATIENCE", 0.2)
    server.script = [says("400 Bad Request", '{"id": null, "error": {}}'), says("401 Unauthorized", ""), *[hang_up] * 3]
    for _ in range(3):
        client.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert (await client.log()).startswith("notifications/initialized was lost: ")
    client.send({"jsonrpc": "2.0", "id": 7, "result": {}})  # an answer, which nothing asked for
    client.ask(1)
    assert (await client.heard())["id"] == 1


async def test_a_client_that_reads_nothing_keeps_nothing_else_from_happening(server: StandIn, client: Client) -> None:
    server.script = [result(x="x" * 3_000_000), result(x="y" * 3_000_000)]
    client.ask(1)
    client.ask(2)
    for number in range(3, 20):
        client.ask(number)
    await server.until(lambda: len(server.asked) == 19)
    assert {(await client.heard())["id"] for _ in range(19)} == set(range(1, 20))


async def test_a_defect_costs_its_own_request(server: StandIn, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(posting, "refusal", lambda _: 1 / 0)
        server.script = [says("500 Oops", "")]
        client.ask(1)
        error = await client.error()
    assert error == {"code": -32603, "message": "The bridge failed (ZeroDivisionError); report it."}
    client.ask(2)
    assert await client.result() == {"echo": "ping"}
