"""A POST that comes again with its `Idempotency-Key` does nothing again."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.interfaces.http.conftest import Site, external, made, refused, squad, tasks

KEY = {"Idempotency-Key": "one"}


@pytest.fixture
async def web(ada: httpx.AsyncClient) -> str:
    return await squad(ada)


async def last(client: httpx.AsyncClient, web: str) -> int:
    """The position of the last event."""
    return int((await client.get(f"{web}/events?limit=200")).json()["last"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/members", {"name": "tess"}),
        ("/members/grace/pause", None),
        ("/members/grace/retire", None),
        ("/messages", {"all": True, "body": "hello"}),
        ("/tasks", {"tasks": [{"title": "x"}]}),
        ("/tasks/claim", {"limit": 2}),
        ("/tasks/1/claim", None),
        ("/tasks/1/cancel", {"reason": "x"}),
        ("/tasks/1/block", {"reason": "x"}),
        ("/pause", {"now": True}),
        ("/archive", None),
    ],
)
async def test_the_same_request_gets_the_same_answer_and_changes_nothing_more(
    ada: httpx.AsyncClient, web: str, path: str, body: Any
) -> None:
    made(await ada.post(f"{web}/members", json={"name": "grace"}))
    await tasks(ada, web, "one", "two", "three")
    before = await last(ada, web)
    first = await ada.post(web + path, json=body, headers=KEY)
    after = await last(ada, web)
    again = await ada.post(web + path, json=body, headers=KEY)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.status_code in (200, 201)
    assert before < after == await last(ada, web)


async def test_without_the_key_it_is_a_request_of_its_own(ada: httpx.AsyncClient, web: str) -> None:
    """The control: only the key makes two requests one."""
    body = {"tasks": [{"title": "x"}]}
    answers = [await ada.post(f"{web}/tasks", json=body, headers=headers) for headers in (KEY, {}, {}, KEY)]
    assert [made(answer)["items"][0]["number"] for answer in answers] == [1, 2, 3, 1]


async def test_a_squad_is_made_once(ada: httpx.AsyncClient) -> None:
    first, again = [await ada.post("/squads", json={"name": "shop"}, headers=KEY) for _ in range(2)]
    assert made(first) == made(again)
    assert len((await ada.get("/squads")).json()["items"]) == 1


async def test_an_account_is_made_once(admin: httpx.AsyncClient) -> None:
    first, again = [await admin.post("/users", json={"email": "new@example.com"}, headers=KEY) for _ in range(2)]
    assert made(first) == made(again)


@pytest.mark.parametrize("path", ["/keys", "{web}/members/tess/tokens", "/users/{me}/keys"])
async def test_a_secret_is_shown_once_and_then_only_named(ada: httpx.AsyncClient, web: str, path: str) -> None:
    made(await ada.post(f"{web}/members", json={"name": "tess"}))
    address = path.format(web=web, me=(await ada.get("/users/me")).json()["id"])
    first = made(await ada.post(address, json={"name": "ci"}, headers=KEY))
    again = await ada.post(address, json={"name": "ci"}, headers=KEY)
    refused(again, 409, "already_created")
    assert again.json()["id"] == first["id"]
    assert first["secret"] not in again.text
    assert [item["id"] for item in (await ada.get(address)).json()["items"]].count(first["id"]) == 1


async def test_another_request_with_the_same_key_is_refused(ada: httpx.AsyncClient, web: str) -> None:
    body = {"tasks": [{"title": "x"}]}
    made(await ada.post(f"{web}/tasks", json=body, headers=KEY))
    others: dict[str, Any] = {
        "/tasks": {"tasks": [{"title": "y"}]},
        "/members": {"name": "tess"},
        "/tasks/1/claim": None,
    }
    for path, other in others.items():
        refused(await ada.post(web + path, json=other, headers=KEY), 422, "idempotency_mismatch")
    spoken = await ada.post(f"{web}/tasks", json=body, headers=KEY | {"Squad-Member": "owner"})
    refused(spoken, 422, "idempotency_mismatch")


async def test_a_key_is_its_callers_own(site: Site, ada: httpx.AsyncClient, web: str) -> None:
    tess = await external(site, ada, web, "tess")
    answers = [
        await client.post(f"{web}/tasks", json={"tasks": [{"title": "x"}]}, headers=KEY) for client in (ada, tess)
    ]
    assert [made(answer)["items"][0]["number"] for answer in answers] == [1, 2]


async def test_an_error_is_not_remembered(ada: httpx.AsyncClient, web: str) -> None:
    refused(await ada.post(f"{web}/tasks/1/claim", headers=KEY), 404, "not_found")
    await tasks(ada, web, "x")
    assert (await ada.post(f"{web}/tasks/1/claim", headers=KEY)).json()["items"][0]["claim"] == "1/1"


async def test_a_claim_that_found_nothing_is_tried_again_and_one_that_waited_is_remembered(
    ada: httpx.AsyncClient, web: str
) -> None:
    assert (await ada.post(f"{web}/tasks/claim", headers=KEY)).json()["items"] == []
    waiting = asyncio.create_task(ada.post(f"{web}/tasks/claim?wait=30", headers=KEY))
    await asyncio.sleep(0.2)
    await tasks(ada, web, "one", "two")
    claimed = await waiting
    assert [item["claim"] for item in claimed.json()["items"]] == ["1/1"]
    for path in ("claim?wait=30", "claim"):
        assert (await ada.post(f"{web}/tasks/{path}", headers=KEY)).content == claimed.content


async def test_the_same_request_many_times_at_once_is_done_once(ada: httpx.AsyncClient, web: str) -> None:
    body = {"tasks": [{"title": "x"}]}
    answers = await asyncio.gather(*(ada.post(f"{web}/tasks", json=body, headers=KEY) for _ in range(8)))
    assert len({answer.content for answer in answers}) == 1
    assert [made(answer)["items"][0]["number"] for answer in answers] == [1] * 8


@pytest.mark.parametrize(("key", "status"), [("", 422), ("x", 201), ("x" * 255, 201), ("x" * 256, 422)])
async def test_a_key_has_one_to_255_characters(ada: httpx.AsyncClient, web: str, key: str, status: int) -> None:
    answer = await ada.post(f"{web}/tasks", json={"tasks": [{"title": "x"}]}, headers={"Idempotency-Key": key})
    assert answer.status_code == status
    if status == 422:
        refused(answer, 422, "invalid")
        assert answer.json()["errors"][0]["field"] == "header.idempotency-key"
