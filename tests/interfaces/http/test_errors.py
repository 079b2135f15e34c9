import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from agentsquad.schemas import limits
from agentsquad.schemas.errors import Error
from backend.core import errors
from backend.core.embedded import Cluster
from backend.core.settings import Settings
from backend.interfaces.http import bodies
from backend.interfaces.http.dependencies import NO_KEY
from backend.interfaces.http.errors import PLAIN, STATUS, body_of
from tests.interfaces.http.conftest import Site, listening, made, opened, refused, squad, tasks

JSON = {"content-type": "application/json"}


def kinds(base: type[errors.SquadError] = errors.SquadError) -> Iterator[type[errors.SquadError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_error_has_a_status_and_a_code_of_its_own() -> None:
    every = list(kinds())
    assert set(every) == set(STATUS)
    assert len({kind.code for kind in every}) == len(every)
    assert all(400 <= status < 600 for status in STATUS.values())


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_error_has_the_one_shape(kind: type[errors.SquadError]) -> None:
    status, body = body_of(kind("It is so.", task=12, attempt=4))
    assert status == STATUS[kind]
    assert json.loads(body) == {"code": kind.code, "detail": "It is so.", "task": 12, "attempt": 4}
    Error.model_validate_json(body)


# Body of POST /squads/{squad}/tasks → the field, what it should be, and the sentence.
WRONG: list[tuple[Any, str, str, str]] = [
    ({}, "body.tasks", "required", "tasks is missing."),
    ({"tasks": [], "x": 1}, "body.tasks", "at least 1", "tasks has too few items."),
    ({"tasks": 1}, "body.tasks", "a list", "tasks is not a list."),
    ({"tasks": [1]}, "body.tasks.0", "an object", "tasks.0 is not an object."),
    ([], "body", "an object", "body is not an object."),
    ({"title": "x" * 201}, "title", "at most 200 characters", "title is too long."),
    ({"title": ""}, "title", "at least 1", "title is too short."),
    ({"title": None}, "title", "text", "title is not text."),
    ({"title": "x\0"}, "title", "holds a NUL character; leave it out",
     "title can't be used: holds a NUL character; leave it out."),
    ({"colour": "red"}, "colour", "no such field", "colour is unknown."),
    ({"priority": 5}, "priority", "at most 4", "priority is too large."),
    ({"priority": -1}, "priority", "at least 0", "priority is too small."),
    ({"priority": "2"}, "priority", "a whole number", "priority is not a whole number."),
    ({"priority": True}, "priority", "a whole number", "priority is not a whole number."),
    ({"priority": 10**30}, "priority", "at most 4", "priority is too large."),
    ({"role": "a b"}, "role", "letters, digits, _ . and - only, the first one a letter, digit or _",
     "role can't be used: letters, digits, _ . and - only, the first one a letter, digit or _."),
    ({"depends_on": [7, 1.5]}, "depends_on.1", "a task's number, or a key of this batch",
     "depends_on.1 can't be used: a task's number, or a key of this batch."),
    ({"description": "ä" * 140_000}, "description", "at most 262144 bytes",
     "description can't be used: at most 262144 bytes."),
    ({"input": "x" * 262_143}, "input", "at most 262144 bytes as JSON",
     "input can't be used: at most 262144 bytes as JSON."),
    ({"input": {"a": ["\0"]}}, "input", "holds a NUL character; leave it out",
     "input can't be used: holds a NUL character; leave it out."),
]  # fmt: skip


async def test_what_is_wrong_with_a_field_is_said_in_one_sentence(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    for given, field, message, sentence in WRONG:
        in_task = isinstance(given, dict) and not field.startswith("body")
        body = {"tasks": [{"title": "good"}] * 3 + [{"title": "x"} | given]} if in_task else given
        answer = await ada.post(f"{web}/tasks", json=body)
        assert refused(answer, 422, "invalid") == sentence
        where = f"body.tasks.3.{field}" if in_task else field
        assert answer.json()["errors"][0] == {"field": where, "message": message}
    assert (await ada.get(f"{web}/tasks")).json()["items"] == []


async def test_fields_of_the_address_are_named_as_well(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    for path, field, sentence in (
        (f"{web}/tasks?status=lost", "query.status", "status has an unknown value."),
        (f"{web}/tasks?limit=201", "query.limit", "limit is too large."),
        (f"{web}/tasks/0", "path.number", "number is too small."),
        (f"{web}/tasks/{10**4000}", "path.number", "number is too large."),
        ("/squads?cursor=%00", "query.cursor", "cursor can't be used: holds a NUL character; leave it out."),
        ("/squads/%00", "path.squad", "squad can't be used: holds a NUL character; leave it out."),
        ("/squads/%00/members", "path.squad", "squad can't be used: holds a NUL character; leave it out."),
        (f"/squads/{'a' * 256}/board", "path.squad", "squad is too long."),
    ):
        answer = await ada.get(path)
        assert refused(answer, 422, "invalid") == sentence
        assert answer.json()["errors"][0]["field"] == field


def nested(depth: int) -> bytes:
    return b'{"tasks":[{"title":"x","input":' + b'{"a":[' * (depth // 2) + b"]}" * (depth // 2) + b"}]}"


async def test_no_body_breaks_the_server(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    task = b'{"tasks":[{"title":"x","input":%s}]}'
    for body, status in (
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'"', 400),
        (b"", 422),
        (b"null", 422),
        (b"NaN", 422),
        (nested(100), 201),
        (nested(10_000), 400),
        (b"[" * 10_000, 400),
        (task % b"NaN", 422),
        (task % b"-Infinity", 422),
        (task % b"1e999", 422),
        (task % b"1e-999", 201),
        (task % b'"\\u0000"', 422),
        (task % b'{"\\u0000": 1}', 422),
        (task % b'"\\ud800"', 422),
        (task % b'{"\\udfff": 1}', 422),
        (task % b'"\\ud83e\\udd89"', 201),
        (task % (b"9" * 4_000), 201),
        (task % (b"9" * 5_000), 400),
        (task % b"null", 201),
        (b'{"tasks":[{"title":"\\ud800"}]}', 422),
        (b'{"tasks":[{"title":"x","\\ud800":1}]}', 422),
        (b'{"tasks":[{"title":"x","' + b"k" * 100_000 + b'":1}]}', 422),
        (b'{"tasks":[{"title":"x","depends_on":[' + b"9" * 4_000 + b"]}]}", 422),
    ):
        answer = await ada.post(f"{web}/tasks", content=body, headers=JSON)
        assert answer.status_code == status, (body[:80], answer.text[:300])
        if status >= 400:
            assert refused(answer, status, "invalid")
            assert len(answer.content) < 2_000
        if status == 400:
            assert answer.json() == {"code": "invalid", "detail": "The request can't be read; send JSON."}
    for depth in (*range(700, 1_100, 8),):  # around the interpreter's own limit
        answer = await ada.post(f"{web}/tasks", content=nested(depth), headers=JSON)
        assert answer.status_code in (201, 400, 422), answer.text[:300]
    page = await ada.get(f"{web}/tasks")
    assert page.status_code == 200


async def test_another_content_type_is_no_json(ada: httpx.AsyncClient) -> None:
    for headers in ({}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
        answer = await ada.post("/squads", content=b'{"name":"web"}', headers=headers)
        assert refused(answer, 400, "invalid") == "The request can't be read; send JSON."


async def test_many_wrong_fields_give_a_bounded_answer(ada: httpx.AsyncClient) -> None:
    batch = [{"title": "x", f"wrong{number}": 1, "more": 2} for number in range(1_000)]
    answer = await ada.post(f"{await squad(ada)}/tasks", json={"tasks": batch})
    assert refused(answer, 422, "invalid") == "wrong0 is unknown."
    assert len(answer.json()["errors"]) == 100


async def test_an_address_that_is_none_and_a_method_that_is_none(site: Site, admin: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/squads/web/tasks/x", "/squads/web/tasks/-1"):
        assert refused(await admin.get(path), 404, "not_found") == PLAIN[404][1]
    for method, path, allow in (
        ("PUT", "/users", "GET, POST"),
        ("DELETE", "/users/me", "GET"),
        ("POST", "/squads/web", "GET, PATCH"),
        ("GET", "/squads/web/tasks/claim", "POST"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("GET", "/squads/web/tasks/1/claim", "POST"),
        ("PATCH", "/keys/1", "DELETE"),
        ("POST", "/health", "GET"),
    ):
        answer = await admin.request(method, path)
        refused(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allow, path


async def test_a_defect_is_a_500_that_tells_nothing(site: Site) -> None:
    @site.app.get("/defect")
    async def defect() -> None:
        raise RuntimeError("secret")

    @site.app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout")

    transport = httpx.ASGITransport(app=site.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://squads.test") as client:
        answer = await client.get("/defect")
        assert "log" in refused(answer, 500, "internal")
        assert "secret" not in answer.text
        assert refused(await client.get("/teapot"), 418, "error") == "short and stout"


async def test_a_body_beyond_the_limit_is_413(site: Site) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 65_536):
            yield b" " * 65_536

    async with listening(site.app) as url:
        admin = await site.caller(site.key, url)
        refused(await admin.post("/squads", content=b" " * (limits.BODY + 1), headers=JSON), 413, "too_large")
        refused(await admin.post("/squads", content=chunks(limits.BODY + 65_536), headers=JSON), 413, "too_large")
        refused(await admin.post("/squads", content=chunks(limits.BODY), headers=JSON), 400, "invalid")
        web = await squad(admin)
        full = {"tasks": [{"title": "x", "description": "d" * limits.TEXT}] * 50}
        assert len(made(await admin.post(f"{web}/tasks", json=full))["items"]) == 50


async def test_a_body_without_a_key_is_not_read(site: Site) -> None:
    async def flood() -> AsyncIterator[bytes]:
        for _ in range(limits.BODY // 65_536 + 2):
            yield b" " * 65_536

    async def never(_: Scope, receive: Receive, __: Send) -> None:
        await receive()
        raise AssertionError

    async with listening(site.app) as url:
        nobody, known = await site.caller(None, url), await site.caller(site.key, url)
        for method, path in (("POST", "/squads"), ("POST", "/squads/web/tasks"), ("POST", "/nothing")):
            answers = [
                await nobody.request(method, path, content=b"{", headers=JSON),
                await nobody.request(method, path, content=flood(), headers=JSON),
            ]
            for answer in answers:
                assert refused(answer, 401, "unauthenticated") == NO_KEY
                assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/health", "/openapi.json", "/docs"):
            assert (await nobody.get(path, headers={"content-length": "0"})).status_code == 200
        refused(await known.post("/squads", content=b"{", headers=JSON), 400, "invalid")
    transport = httpx.ASGITransport(app=bodies.Limit(never, limits.BODY))
    async with httpx.AsyncClient(transport=transport, base_url="http://squads.test") as client:
        refused(await client.post("/squads", content=flood()), 401, "unauthenticated")


async def test_over_a_real_server_all_is_the_same(site: Site) -> None:
    async with listening(site.app) as url:
        admin, nobody = await site.caller(site.key, url), await site.caller(None, url)
        web = await squad(admin, "größe")
        await tasks(admin, web, "Ünï 🦉")
        assert (await admin.get(f"{web}/board")).json()["tasks"][0]["title"] == "Ünï 🦉"
        for path in ("/users/me", "/users", "/sync-users/1"):
            answer = await nobody.get(path)
            refused(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert refused(await admin.get("/squads/%00"), 422, "invalid").startswith("squad can't be used")
        assert refused(await admin.get("/users/%00"), 404, "not_found") == "User not found"
        assert (await admin.get("/squads/%FF%FE")).status_code == 404
        # A negative control: a byte that h11 and httptools refuse never reaches us.
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET /users/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \x00\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_without_its_database_the_server_says_so_and_comes_back(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "cluster")
    cluster.ensure()
    try:
        async with opened(Settings(DATABASE_URL=cluster.url, SQUAD_HOME=tmp_path / "home")) as site:
            admin = await site.caller(site.key)
            web = await squad(admin)
            me = (await admin.get("/users/me")).json()["id"]
            assert (await admin.get(f"/sync-users/{me}")).status_code == 200
            cluster.stop()
            for known in (True, False):  # the key is remembered for the first round
                for method, path in (
                    ("GET", "/users/me"), ("GET", web), ("GET", "/squads"), ("GET", f"{web}/events"),
                    ("POST", f"{web}/tasks/claim"), ("GET", "/ready"), ("GET", f"/sync-users/{me}"),
                ):  # fmt: skip
                    answer = await admin.request(method, path)
                    assert refused(answer, 503, "overloaded").endswith("try again in a few seconds."), path
                    assert answer.headers["retry-after"] == "1"
                if known:
                    site.app.state.credentials._known.clear()
            assert (await admin.get("/health")).status_code == 200
            cluster.ensure()
            for path in ("/users/me", "/squads", f"/sync-users/{me}", "/ready"):
                assert (await admin.get(path)).status_code == 200, path
    finally:
        cluster.destroy()
