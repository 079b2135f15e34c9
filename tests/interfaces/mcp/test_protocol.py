"""What the specification asks of a server, on the wire: without a client's help, in both kinds of protocol."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from mcp.server import _streamable_http_modern
from sse_starlette import EventSourceResponse

from backend.interfaces.mcp import server
from tests.interfaces.mcp.conftest import Squad

NEW, OLD = "2026-07-28", "2025-11-25"
HANDSHAKES = ("2024-11-05", "2025-03-26", "2025-06-18", OLD)
META = {"io.modelcontextprotocol/protocolVersion": NEW, "io.modelcontextprotocol/clientCapabilities": {}}
BASE = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
WORD = {"Content-Type": "text/plain"}
DEEP = b"[" * 100_000
NESTED = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}}"
BATCH = b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]'
HUGE = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":' + b"9" * 6000 + b"}}"


class Wire:
    """A member without a client."""

    def __init__(self, http: httpx.AsyncClient, address: str) -> None:
        self.http = http
        self.address = address

    async def send(self, version: str | None, body: Any, **headers: str) -> httpx.Response:
        """Bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(self.address, content=content, headers=self.headers(version, body) | headers)

    async def said(self, version: str, method: str, **params: Any) -> Any:
        """A request's result or error."""
        answer = await self.send(version, request(version, method, **params))
        body = json.loads(answer.text.partition("data: ")[2] or answer.text)
        assert (body["jsonrpc"], body["id"]) == ("2.0", 1)
        return body["result"] if "result" in body else body["error"]

    @staticmethod
    def headers(version: str | None, body: Any = None) -> dict[str, str]:
        given = {"MCP-Protocol-Version": version} if version else {}
        if isinstance(body, dict) and version not in HANDSHAKES:
            given["Mcp-Method"] = str(body.get("method"))
            given["Mcp-Name"] = str(body.get("params", {}).get("name", ""))
        return BASE | given


def request(version: str, method: str, **params: Any) -> dict[str, Any]:
    meta = {} if version in HANDSHAKES else {"_meta": META}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params | meta}


def hello(version: str) -> dict[str, Any]:
    return {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


@pytest.fixture
async def wire(squad: Squad) -> AsyncIterator[Wire]:
    token = await squad.token("tess")
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        yield Wire(http, f"{squad.url}/mcp")


@pytest.fixture(params=(OLD, NEW))
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_name_that_leads_here_only_now_is_not_ours(wire: Wire, version: str) -> None:
    async def status(host: str, origin: str | None = None) -> int:
        more = {"Host": host} if origin is None else {"Host": host, "Origin": origin}
        return (await wire.send(version, request(version, "tools/list"), **more)).status_code

    port = urlsplit(wire.address).port
    assert await status("evil.example", "http://evil.example") == 403
    assert await status(f"evil.example:{port}", f"http://evil.example:{port}") == 403
    assert await status(f"127.0.0.1:{port}", "null") == 403
    assert await status(f"127.0.0.1:{port}", f"http://localhost:{port}") == 403
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert await status(f"{host}:{port}", f"http://{host}:{port}") == 200
    assert await status("squads.example") == 200  # from a proxy on this machine


async def test_space_around_a_header_s_value_is_no_part_of_it(wire: Wire) -> None:
    body = json.dumps(request(NEW, "tools/call", name="whoami", arguments={})).encode()
    headers = {
        **BASE,
        "Host": "localhost",
        "Authorization": f"{wire.http.headers['Authorization']}  ",
        "MCP-Protocol-Version": f"  {NEW} ",
        "Mcp-Method": "\ttools/call\t",
        "Mcp-Name": "  whoami  ",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    head = "".join(f"{name}:{value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(wire.address).port)
    writer.write(b"POST /mcp HTTP/1.1\r\n" + head.encode() + b"\r\n" + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"name":"tess"' in answer.replace(b"\\", b"")


async def test_a_handshake_agrees_on_the_revision_that_is_asked_for_or_offers_the_newest(wire: Wire) -> None:
    for asked in HANDSHAKES:
        answer = await wire.send(None, request(OLD, "initialize", **hello(asked)))
        assert f'"protocolVersion":"{asked}"' in answer.text
        assert "mcp-session-id" not in answer.headers
        assert await wire.said(asked, "ping") == {}
    assert (await wire.said(OLD, "initialize", **hello("1999-01-01")))["protocolVersion"] == OLD


async def test_a_revision_that_is_not_served_is_refused_with_those_that_are(wire: Wire) -> None:
    body = request("2099-01-01", "server/discover")
    body["params"]["_meta"] = META | {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    answer = await wire.send("2099-01-01", body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, -32022)
    assert error["data"] == {"supported": [NEW], "requested": "2099-01-01"}


async def test_what_there_is_to_discover(wire: Wire) -> None:
    found = await wire.said(NEW, "server/discover")
    assert found["supportedVersions"] == [NEW]
    assert found["instructions"] == server.INSTRUCTIONS
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "agentsquad"
    assert found["capabilities"] == {
        "prompts": {"listChanged": False},
        "resources": {"listChanged": False, "subscribe": False},
        "tools": {"listChanged": False},
    }


async def test_what_is_not_offered_is_not_there(wire: Wire) -> None:
    listen = request(NEW, "subscriptions/listen", notifications={"toolsListChanged": True})
    for body in (listen, request(NEW, "initialize", **hello(NEW)), request(NEW, "tasks/get", taskId="1")):
        answer = await wire.send(NEW, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, -32601)
    missing: dict[str, dict[str, Any]] = {
        "resources/subscribe": {"uri": "squad://board"},
        "logging/setLevel": {"level": "info"},
        "completion/complete": {"ref": {"type": "ref/prompt", "name": "start"}, "argument": {"name": "a", "value": ""}},
        "tasks/list": {},
        "server/discover": {},
    }
    for method, params in missing.items():
        assert (await wire.said(OLD, method, **params))["code"] == -32601


async def test_lists_may_be_kept_and_what_is_read_may_not(wire: Wire) -> None:
    for method in ("server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list"):
        found = await wire.said(NEW, method)
        assert (found["ttlMs"], found["cacheScope"], found["resultType"]) == (300_000, "public", "complete")
    headers = {"Mcp-Name": "squad://board"}
    answer = await wire.send(NEW, request(NEW, "resources/read", uri="squad://board"), **headers)
    board = answer.json()["result"]
    assert (board["ttlMs"], board["cacheScope"]) == (0, "private")


async def test_tools_are_listed_in_one_order(wire: Wire, version: str) -> None:
    lists = [[each["name"] for each in (await wire.said(version, "tools/list"))["tools"]] for _ in range(3)]
    assert lists == [[each.name for each in server.TOOLS]] * 3


async def test_a_notification_is_taken_without_a_word(wire: Wire, version: str) -> None:
    for method in ("notifications/initialized", "notifications/cancelled", "notifications/unknown"):
        answer = await wire.send(version, {"jsonrpc": "2.0", "method": method, "params": {"requestId": 1}})
        assert (answer.status_code, answer.content) == (202, b"")


async def test_what_is_no_message_is_refused(wire: Wire, version: str) -> None:
    for body in (
        b"",
        b"{nope",
        b"\xff\xfe",
        b"null",
        b"7",
        b"[]",
        b"{}",
        b'{"jsonrpc":"1.0"}',
        DEEP,
        NESTED,
        HUGE,
        BATCH,
    ):
        answer = await wire.send(version, body)
        error = answer.json()
        assert (answer.status_code, error["id"]) == (400, None), body[:30]
        assert error["error"]["code"] in {-32700, -32600, -32602}


async def test_headers_have_to_say_what_the_body_says(wire: Wire) -> None:
    listing = request(NEW, "tools/list")
    calling = request(NEW, "tools/call", name="whoami", arguments={})
    for body, headers in (
        (listing, {"Mcp-Method": "tools/call"}),
        (listing, {"MCP-Protocol-Version": "2099-01-01"}),
        (calling, {"Mcp-Name": "wait"}),
        (calling, {"Mcp-Name": "WhoAmI"}),
    ):
        answer = await wire.send(NEW, body, **headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)


async def test_an_answer_has_to_be_acceptable(wire: Wire, version: str) -> None:
    async def status(**headers: str) -> int:
        return (await wire.send(version, request(version, "tools/list"), **headers)).status_code

    for accept in ("", "text/html", "application/json", "text/event-stream"):
        assert await status(Accept=accept) == 406
    assert await status(Accept="*/*") == 200
    assert await status(**WORD) == 400


async def test_an_unknown_tool_or_method_is_an_error_of_the_protocol(wire: Wire, version: str) -> None:
    assert (await wire.said(version, "tools/call", name="nope", arguments={}))["code"] == -32602
    assert (await wire.said(version, "nope/nope"))["code"] == -32601


async def test_a_session_s_id_is_nothing_to_us(wire: Wire, version: str) -> None:
    answer = await wire.send(version, request(version, "tools/list"), **{"Mcp-Session-Id": "another's"})
    assert answer.status_code == 200
    assert "mcp-session-id" not in answer.headers


async def test_a_long_wait_gives_signs_of_life(wire: Wire, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_streamable_http_modern, "_SSE_PING_INTERVAL", 0.05)
    monkeypatch.setattr(EventSourceResponse, "DEFAULT_PING_INTERVAL", 0.05)
    body = request(version, "tools/call", name="wait", arguments={"seconds": 50})
    async with (
        asyncio.timeout(20),
        wire.http.stream("POST", wire.address, json=body, headers=wire.headers(version, body)) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"
        comments = 0
        async for line in answer.aiter_lines():
            assert not line or line.startswith(": ping"), line
            comments += bool(line)
            if comments == 3:
                break
