"""Who comes in, over plain HTTP."""

import asyncio
from typing import Any

import httpx
import pytest

from agentsquad.schemas import limits
from tests.interfaces.http.conftest import Site
from tests.interfaces.mcp.conftest import Refused, Squad, joined

ACCEPT = {"Accept": "application/json, text/event-stream"}
VERSION = "2026-07-28"


def request(method: str, **params: Any) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": meta}}


async def post(squad: Squad, token: str | None, method: str = "tools/list", **headers: str) -> httpx.Response:
    given = ACCEPT | {"MCP-Protocol-Version": VERSION, "Mcp-Method": method} | headers
    if token is not None:
        given["Authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(headers=given) as client:
        return await client.post(f"{squad.url}/mcp", json=request(method))


def refusal(answer: httpx.Response, status: int) -> Any:
    """What an error of the protocol says."""
    assert answer.status_code == status, answer.text
    return answer.json()["error"]["data"]


async def test_who_has_no_token_is_told_so_and_sent_to_no_other_server(squad: Squad) -> None:
    for token in (None, "sqm_unknown", "nonsense"):
        answer = await post(squad, token)
        assert refusal(answer, 401)["code"] == "unauthenticated"
        assert answer.headers["www-authenticate"] == "Bearer"
    async with httpx.AsyncClient() as client:
        for address in ("oauth-protected-resource", "oauth-protected-resource/mcp", "oauth-authorization-server"):
            assert (await client.get(f"{squad.url}/.well-known/{address}")).status_code == 404


async def test_a_user_s_key_is_no_member(squad: Squad, site: Site) -> None:
    answer = await post(squad, site.key)
    assert "asq connect" in refusal(answer, 401)["next"]


async def test_a_member_comes_in(squad: Squad) -> None:
    answer = await post(squad, await squad.token("tess"))
    assert (answer.status_code, len(answer.json()["result"]["tools"])) == (200, 15)


async def test_a_page_of_another_host_does_not(squad: Squad) -> None:
    token = await squad.token("tess")
    assert (await post(squad, token, Origin="https://evil.example")).status_code == 403
    assert (await post(squad, token, Origin=squad.url)).status_code == 200


async def test_nothing_comes_by_itself(squad: Squad) -> None:
    token = await squad.token("tess")
    async with httpx.AsyncClient(headers=ACCEPT | {"Authorization": f"Bearer {token}"}) as client:
        for method in ("GET", "DELETE", "PUT"):
            answer = await client.request(method, f"{squad.url}/mcp")
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_revoked_token_is_refused_on_the_next_call(squad: Squad, mode: str) -> None:
    token = await squad.token("tess")
    async with joined(squad.url, token, mode) as tess:
        await tess.call("whoami")
        listed = (await squad.owner.get(f"{squad.path}/members/tess/tokens")).json()["items"]
        await squad.owner.delete(f"{squad.path}/members/tess/tokens/{listed[0]['id']}")
        await asyncio.sleep(1.1)  # for so long a process may remember a token
        with pytest.raises(Exception, match="asq connect"):
            await tess.call("whoami")
    assert (await post(squad, token)).status_code == 401


async def test_a_call_that_comes_again_is_done_once(squad: Squad) -> None:
    token = await squad.token("tess")
    for _ in range(2):
        async with joined(squad.url, token, **{"Idempotency-Key": "first"}) as tess:
            made = await tess.call("create_tasks", tasks=[{"title": "once", "role": "lead"}])
            assert [item["number"] for item in made["items"]] == [1]
    async with joined(squad.url, token, **{"Idempotency-Key": "first"}) as tess:
        with pytest.raises(Refused, match="idempotency_mismatch"):
            await tess.call("create_tasks", tasks=[{"title": "another"}])
    assert (await post(squad, token, **{"Idempotency-Key": "x" * 256})).status_code == 400


async def test_a_body_that_is_too_large_is_refused(squad: Squad) -> None:
    headers = ACCEPT | {"Authorization": f"Bearer {await squad.token('tess')}", "MCP-Protocol-Version": VERSION}
    async with httpx.AsyncClient(headers=headers | {"Content-Type": "application/json"}, timeout=60) as client:
        answer = await client.post(f"{squad.url}/mcp", content=b"[" * (limits.BODY + 1))
        assert answer.status_code == 413
        assert (await client.post(f"{squad.url}/mcp", content=b"[" * 1000)).status_code == 400


async def test_an_attempt_s_token_acts_under_its_fence(squad: Squad) -> None:
    await squad.task("one", role="tester")
    async with joined(squad.url, await squad.token("tess")) as tess:
        claim = (await tess.call("claim_task"))["claim"]
        path = f"{squad.path}/tasks/1/token"
        secret = (await squad.owner.post(path, json={"claim": claim}, headers={"Squad-Member": "tess"})).json()[
            "secret"
        ]
        async with joined(squad.url, secret) as child:
            await child.call("send_message", task=1, body="under way")
            await tess.call("complete_task", claim=claim)
            with pytest.raises(Exception, match=r"lost_claim|unknown or revoked"):
                await child.call("send_message", task=1, body="late")


async def test_resources_and_the_prompt(squad: Squad, mode: str) -> None:
    await squad.task("one", role="tester")
    token = await squad.token("tess", instructions="Test well.")
    await squad.owner.post(f"{squad.path}/messages", json={"to": "tess", "body": "hello"})
    async with joined(squad.url, token, mode) as tess:
        listed = (await tess.client.list_resources()).resources
        assert [resource.uri for resource in listed] == ["squad://board", "squad://inbox"]
        templates = (await tess.client.list_resource_templates()).resource_templates
        assert [template.uri_template for template in templates] == ["squad://tasks/{number}"]
        texts = {}
        for uri in ("squad://board", "squad://inbox", "squad://tasks/1"):
            (content,) = (await tess.client.read_resource(uri)).contents
            texts[uri] = getattr(content, "text", "")
        assert all(word in texts[uri] for uri, word in zip(texts, ("one", "hello", "one"), strict=True))
        for uri in ("squad://tasks/9", "squad://tasks/0", "squad://tasks/x", "file:///etc/passwd"):
            with pytest.raises(Exception, match="There is no"):
                await tess.client.read_resource(uri)
        (prompt,) = (await tess.client.list_prompts()).prompts
        message = (await tess.client.get_prompt(prompt.name)).messages[0]
        assert message.content.type == "text"
        assert all(word in message.content.text for word in ("tess", "tester", "web", "Test well.", "claim_task"))
        with pytest.raises(Exception, match="no such prompt"):
            await tess.client.get_prompt("other")
