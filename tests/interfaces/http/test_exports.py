"""A squad as a file over HTTP: streamed both ways, for its owner alone, and believed in nothing."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from agentsquad.schemas import limits
from agentsquad.schemas.exports import Imported
from backend.core.database import Database
from backend.core.spools import AT_ONCE
from backend.interfaces.http import bodies
from tests.campaigns import checkers, crew
from tests.interfaces.http.conftest import Site, external, listening, made, refused, squad, tasks
from tests.operations.test_exports import rows, same_but_for_the_import, signed


async def full(owner: httpx.AsyncClient) -> str:
    """A squad with a few tasks, one of them held."""
    web = await squad(owner)
    made(await owner.post(f"{web}/members", json={"name": "tess"}))
    made(await owner.post(f"{web}/members/tess/tokens", json={"name": "s3cret"}))
    await tasks(owner, web, "one", "two", "three")
    await owner.post(f"{web}/tasks/claim", headers={"Squad-Member": "tess"})
    await owner.post(f"{web}/tasks/2/claim")
    await owner.post(f"{web}/tasks/2/complete", json={"claim": "2/1", "result": "done"})
    return web


async def test_work_goes_on_in_the_copy(site: Site, ada: httpx.AsyncClient) -> None:
    web = await full(ada)
    file = await ada.get(f"{web}/export")
    assert file.headers["content-type"] == "application/x-ndjson"
    assert file.headers["content-disposition"] == "attachment; filename*=UTF-8''web.jsonl"
    answer = made(await ada.post("/squads/import?name=copy", content=file.content))
    assert Imported.model_validate(answer).released == 1
    assert (answer["squad"]["name"], answer["last"]) == ("copy", len(rows(file.content, "event")) + 1)
    after = await ada.get("/squads/copy/export")
    same_but_for_the_import(file.content, after.content)
    assert checkers.torn(checkers.state(site.app.state.database.url, answer["squad"]["id"])) == []

    board, copy = [(await ada.get(f"/squads/{name}/board")).json()["tasks"] for name in ("web", "copy")]
    assert [(card["number"], card["title"]) for card in board] == [(card["number"], card["title"]) for card in copy]
    claimed = (await ada.post("/squads/copy/tasks/1/claim", headers={"Squad-Member": "tess"})).json()["items"]
    assert claimed[0]["claim"] == "1/2"
    assert (await tasks(ada, "/squads/copy", "four"))[0]["number"] == 4
    assert (await ada.get(f"{web}/tasks")).json()["items"][-1]["number"] == 3


async def test_its_owner_alone_gets_it(site: Site, admin: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    tess = await external(site, ada, web, "tess")
    paul = await site.newcomer(admin, "paul@example.com")
    made(await ada.post(f"{web}/members", json={"name": "paul", "kind": "person", "user": "paul@example.com"}))
    for caller in (tess, paul):
        refused(await caller.get(f"{web}/export"), 403, "forbidden")
    refused(await ada.get(f"{web}/export", headers={"Squad-Member": "tess"}), 403, "forbidden")
    refused(await admin.get(f"{web}/export"), 404, "not_found")
    refused(await tess.post("/squads/import", content=b""), 403, "forbidden")


async def test_no_secret_and_no_account_goes_out(site: Site, ada: httpx.AsyncClient) -> None:
    web = await full(ada)
    file = (await ada.get(f"{web}/export")).text
    me = (await ada.get("/users/me")).json()
    assert me["id"] not in file
    assert me["email"] in file
    assert "sqm_" not in file
    assert "digest" not in file


async def test_an_archived_squad_goes_out_and_comes_in_archived(ada: httpx.AsyncClient) -> None:
    web = await full(ada)
    await ada.post(f"{web}/archive")
    file = (await ada.get(f"{web}/export")).content
    assert made(await ada.post("/squads/import?name=copy", content=file))["squad"]["archived_at"]
    refused(await ada.post("/squads/copy/tasks", json={"tasks": [{"title": "x"}]}), 409, "archived")


async def test_a_persons_account_becomes_part_of_nothing(
    site: Site, admin: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    web = await squad(ada)
    paul = await site.newcomer(admin, "paul@example.com")
    made(await ada.post(f"{web}/members", json={"name": "paul", "kind": "person", "user": "paul@example.com"}))
    file = (await ada.get(f"{web}/export")).content
    answer = made(await ada.post("/squads/import?name=copy", content=file))
    assert answer["outsiders"] == ["paul"]
    refused(await paul.get("/squads/copy/board"), 404, "not_found")
    # To the one who imports, not even his own former place is given: he is its owner.
    his = made(await paul.post("/squads/import", content=file))["squad"]
    people = {member["name"]: (member["kind"], member["user"]) for member in his["members"]}
    me = (await paul.get("/users/me")).json()["id"]
    assert people == {"owner": ("person", me), "paul": ("external", None)}


async def test_a_name_that_is_taken_keeps_nothing(ada: httpx.AsyncClient) -> None:
    web = await full(ada)
    file = (await ada.get(f"{web}/export")).content
    refused(await ada.post("/squads/import", content=file), 409, "already_exists")
    refused(await ada.post("/squads/import?name=a/b", content=file), 422, "invalid")
    assert len((await ada.get("/squads")).json()["items"]) == 1


async def test_a_request_that_comes_again_makes_one(ada: httpx.AsyncClient) -> None:
    web = await full(ada)
    file = (await ada.get(f"{web}/export")).content
    first, second = [
        await ada.post("/squads/import?name=copy", content=file, headers={"Idempotency-Key": "once"}) for _ in range(2)
    ]
    assert made(first) == made(second)
    other = signed([line.replace(b"three", b"3") for line in file.splitlines(keepends=True)])
    again = await ada.post("/squads/import?name=copy", content=other, headers={"Idempotency-Key": "once"})
    refused(again, 422, "idempotency_mismatch")


async def test_a_file_beyond_the_limit_is_refused(site: Site, ada: httpx.AsyncClient) -> None:
    line = b"x" * (1 << 20)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(limits.BODY // len(line) + 2):
            yield line

    # More than any other body may have; it is read, and then it is no line.
    said = refused(await ada.post("/squads/import", content=endless()), 422, "invalid")
    assert said == f"Line 1: at most {limits.LINE} bytes."
    refused(await ada.post("/squads", content=endless()), 413, "too_large")
    assert not [file for file in site.home.iterdir() if file.name not in ("key", "servers")]


async def test_a_caller_who_reads_slowly_holds_no_connection(site: Site, ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    for _ in range(8):
        await tasks(ada, web, *["x"] * 50, description="y" * 10_000)
    database: Database = site.app.state.database
    async with listening(site.app) as url:
        client = await site.caller(ada.headers["authorization"].removeprefix("Bearer "), url)
        async with client.stream("GET", f"{web}/export") as answer:
            await anext(answer.aiter_raw(1_000))
            await crew.until(lambda: not database._running, 10)
            assert database.async_engine.pool.checkedout() <= database.settings.SQUAD_READ_CONNECTIONS  # type: ignore[attr-defined]
        # And when he leaves in the middle, the file is gone.
        await asyncio.sleep(0)
    assert not [file for file in site.home.iterdir() if file.name not in ("key", "servers")]


async def test_more_files_than_it_can_work_on_are_refused(site: Site, ada: httpx.AsyncClient) -> None:
    web = await full(ada)
    async with contextlib.AsyncExitStack() as held:
        for _ in range(AT_ONCE):
            await held.enter_async_context(site.app.state.spools.one())
        refused(await ada.get(f"{web}/export"), 503, "overloaded")
        refused(await ada.post("/squads/import", content=b""), 503, "overloaded")
    assert (await ada.get(f"{web}/export")).status_code == 200


@pytest.mark.parametrize("make", [full, squad])  # one that fits into no buffer, and one that does
async def test_a_full_disk_is_no_defect(
    ada: httpx.AsyncClient, make: Callable[[httpx.AsyncClient], Awaitable[str]]
) -> None:
    web = await make(ada)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        said = refused(await ada.get(f"{web}/export"), 503, "overloaded")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said == "The server has no room for the file (File too large); make some, and try again."
    assert (await ada.get(f"{web}/export")).status_code == 200


async def test_this_address_alone_takes_more(site: Site, ada: httpx.AsyncClient) -> None:
    transport = httpx.ASGITransport(app=bodies.Limit(site.app, 10, {"/squads/import": 1_000}))
    async with httpx.AsyncClient(transport=transport, base_url="http://squads.test", headers=ada.headers) as client:
        refused(await client.post("/squads/import", content=b"x" * 500), 422, "invalid")
        refused(await client.post("/squads/import", content=b"x" * 1_500), 413, "too_large")
        refused(await client.post("/squads", json={"name": "longer"}), 413, "too_large")
