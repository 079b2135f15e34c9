from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

from agentsquad.schemas.squads import Squad
from agentsquad.schemas.tasks import Board
from agentsquad.schemas.users import User
from backend.app import create_app
from backend.core.settings import Settings
from backend.interfaces.http import squads, users
from backend.interfaces.http.hot import Shortcut
from tests.interfaces.http.conftest import Site, external, opened, squad, tasks

HOT: dict[str, type[BaseModel]] = {
    "/users/me": User,
    "/users/{user_id}": User,
    "/squads/{squad}": Squad,
    "/squads/{squad}/board": Board,
}
OURS = ("content-type", "content-length", "www-authenticate", "retry-after")


@pytest.fixture
async def ordinary(site: Site, settings: Settings) -> AsyncIterator[Site]:
    """A second server on the same database, whose requests take no shortcut."""
    app = create_app(settings)
    app.user_middleware = [each for each in app.user_middleware if each.cls is not Shortcut]  # type: ignore[comparison-overlap]
    async with opened(settings, app) as ordinary:
        yield ordinary


async def differences(site: Site, ordinary: Site, key: str | None, path: str, **headers: str) -> list[object]:
    answers = [await (await each.caller(key)).get(path, headers=headers) for each in (site, ordinary)]
    seen = [[answer.status_code, answer.content, *(answer.headers.get(name) for name in OURS)] for answer in answers]
    return [pair for pair in zip(*seen, strict=True) if pair[0] != pair[1]]


def declared(app: FastAPI) -> set[str]:
    return {str(route.path) for route in iter_route_contexts(app.routes)}


def test_the_hot_routes_are_declared_as_ordinary_ones(site: Site) -> None:
    assert len([*users.READS, *squads.READS]) == len(HOT)
    assert set(HOT) <= declared(site.app)
    document = site.app.openapi()["paths"]
    for path, schema in HOT.items():
        content = document[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert content["$ref"].endswith(f"/{schema.__name__}")


async def test_their_bytes_are_what_the_document_says(ada: httpx.AsyncClient) -> None:
    await tasks(ada, await squad(ada), "one", "two")
    me = (await ada.get("/users/me")).json()["id"]
    for path, schema in HOT.items():
        answer = await ada.get(path.format(user_id=me, squad="web"))
        assert answer.headers["content-type"] == "application/json"
        assert schema.model_validate_json(answer.content).model_dump(mode="json").keys() == answer.json().keys()


async def test_the_ordinary_route_gives_the_same_answers_errors_and_headers(
    site: Site, ordinary: Site, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    web = await squad(ada)
    me = (await ada.get("/users/me")).json()["id"]
    tess = await external(site, ada, web, "tess")
    key = ada.headers["authorization"].removeprefix("Bearer ")
    token = tess.headers["authorization"].removeprefix("Bearer ")
    for given in (key, token, site.key, None, "sqd_unknown", "ü"):
        for part in (me, "web", "no-such", "%00", "a" * 255, "a" * 256, "ü", "a%2Fb", "..", "web%0A"):
            for path in HOT:
                address = path.format(user_id=part, squad=part)
                assert await differences(site, ordinary, given, address) == [], (given, address)
    assert await differences(site, ordinary, key, web, **{"Squad-Member": "a" * 1000}) == []
    assert await differences(site, ordinary, key, f"{web}?limit=0") == []


async def test_the_comparison_sees_a_difference(site: Site, ordinary: Site) -> None:
    assert await differences(site, ordinary, site.key, "/users/me") == []
    ordinary.app.router.routes.clear()
    assert await differences(site, ordinary, site.key, "/users/me") != []


async def test_other_methods_are_left_to_the_framework(site: Site, admin: httpx.AsyncClient) -> None:
    for method in ("HEAD", "PUT", "DELETE", "POST"):
        answer = await admin.request(method, "/users/me")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
