"""Claims that reserve paths, over HTTP."""

import asyncio
from typing import Any

import httpx
import pytest

from agentsquad.schemas.tasks import Board, Claim
from tests.interfaces.http.conftest import Site, external, refused, squad, tasks


@pytest.fixture
async def web(ada: httpx.AsyncClient) -> str:
    web = await squad(ada)
    await tasks(ada, web, "one", "two", "three")
    return web


@pytest.fixture
async def tess(site: Site, ada: httpx.AsyncClient, web: str) -> httpx.AsyncClient:
    return await external(site, ada, web, "tess", role="tester")


@pytest.mark.parametrize("which", ["claim", "1/claim"])
async def test_what_is_asked_for_is_answered(tess: httpx.AsyncClient, web: str, which: str) -> None:
    body = {"paths": ["./src/", "src/", "docs/*.md"], "lease_seconds": 900}
    answer = await tess.post(f"{web}/tasks/{which}", json=body)
    (claim,) = answer.json()["items"]
    assert Claim.model_validate(claim).paths == ["src/", "docs/*.md"]
    assert claim["lease_seconds"] == 900
    (attempt,) = (await tess.get(f"{web}/tasks/1/attempts")).json()["items"]
    assert (attempt["paths"], attempt["lease_seconds"]) == (["src/", "docs/*.md"], 900)
    board = Board.model_validate((await tess.get(f"{web}/board")).json())
    assert [card.paths for card in board.tasks] == [["src/", "docs/*.md"], [], []]


@pytest.mark.parametrize("which", ["claim", "2/claim", "claim?wait=50"])
async def test_an_overlap_is_409_with_everything_about_it(
    ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str, which: str
) -> None:
    await tess.post(f"{web}/tasks/1/claim", json={"paths": ["src/"]})
    answer = await ada.post(f"{web}/tasks/{which}", json={"paths": ["src/a.py"]})
    sentence = refused(answer, 409, "reserved")
    assert sentence.startswith("src/a.py overlaps with src/, which tess reserves for #1 (attempt 1) until ")
    told = answer.json()
    task = (await ada.get(f"{web}/tasks/1")).json()
    assert told == {
        "code": "reserved", "detail": sentence, "task": 1, "attempt": 1, "holder": "tess",
        "until": task["lease_ends_at"], "path": "src/a.py", "other": "src/",
    }  # fmt: skip
    await tess.post(f"{web}/tasks/1/complete", json={"claim": "1/1"})
    assert len((await ada.post(f"{web}/tasks/{which}", json={"paths": ["src/a.py"]})).json()["items"]) == 1


WRONG: dict[str, tuple[Any, str]] = {
    "a leading slash": ({"paths": ["a", "/src"]}, "body.paths.1"),
    "a way out": ({"paths": ["../src"]}, "body.paths.0"),
    "NUL": ({"paths": ["a\x00"]}, "body.paths.0"),
    "no list": ({"paths": "src"}, "body.paths"),
    "null": ({"paths": None}, "body.paths"),
    "too many": ({"paths": [f"{n}" for n in range(51)]}, "body.paths"),
    "too long": ({"paths": ["x" * 501]}, "body.paths.0"),
    "too short a lease": ({"lease_seconds": 29}, "body.lease_seconds"),
    "too long a lease": ({"lease_seconds": 14_401}, "body.lease_seconds"),
    "another field": ({"path": ["src"]}, "body.path"),
}


@pytest.mark.parametrize("which", ["claim", "1/claim"])
@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_wrong_is_named(ada: httpx.AsyncClient, web: str, which: str, wrong: str) -> None:
    body, field = WRONG[wrong]
    answer = await ada.post(f"{web}/tasks/{which}", json=body)
    refused(answer, 422, "invalid")
    assert answer.json()["errors"][0]["field"] == field


async def test_only_the_next_ones_have_a_limit(ada: httpx.AsyncClient, web: str) -> None:
    several = await ada.post(f"{web}/tasks/claim", json={"limit": 2, "paths": ["src"]})
    refused(several, 422, "invalid")
    assert several.json()["errors"][0]["field"] == "body.limit"
    named = await ada.post(f"{web}/tasks/1/claim", json={"limit": 1})
    refused(named, 422, "invalid")
    assert named.json()["errors"][0]["field"] == "body.limit"


@pytest.mark.parametrize("body", [None, {}, {"paths": [], "lease_seconds": None}])
async def test_without_a_body_it_is_as_ever(tess: httpx.AsyncClient, web: str, body: Any) -> None:
    (claim,) = (await tess.post(f"{web}/tasks/1/claim", json=body)).json()["items"]
    assert (claim["lease_seconds"], claim["paths"]) == (60, [])


async def test_the_same_request_again_is_no_overlap_with_itself(ada: httpx.AsyncClient, web: str) -> None:
    key = {"Idempotency-Key": "mine"}
    first = await ada.post(f"{web}/tasks/1/claim", json={"paths": ["src/"]}, headers=key)
    again = await ada.post(f"{web}/tasks/1/claim", json={"paths": ["./src/"]}, headers=key)
    assert (again.status_code, again.content) == (200, first.content)
    other = await ada.post(f"{web}/tasks/1/claim", json={"paths": ["docs/"]}, headers=key)
    refused(other, 422, "idempotency_mismatch")


async def test_of_many_at_once_one_gets_it(ada: httpx.AsyncClient, web: str) -> None:
    await tasks(ada, web, *"abcdefg")
    answers = await asyncio.gather(
        *(ada.post(f"{web}/tasks/{number}/claim", json={"paths": ["src/cart"]}) for number in range(1, 11))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert {answer.json().get("code") for answer in answers} == {None, "reserved"}
