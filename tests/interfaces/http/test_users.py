import httpx
import pytest

from agentsquad.schemas.users import User
from backend.models.base import new_id
from tests.interfaces.http.conftest import Site, external, made, refused, squad

PATHS = ("/users/{}", "/sync-users/{}")


async def me(client: httpx.AsyncClient) -> str:
    return str((await client.get("/users/me")).json()["id"])


@pytest.mark.parametrize("path", PATHS)
async def test_oneself_is_there(ada: httpx.AsyncClient, path: str) -> None:
    answer = await ada.get(path.format(await me(ada)))
    assert answer.status_code == 200
    assert User.model_validate_json(answer.content).email == "ada@example.com"


@pytest.mark.parametrize("path", PATHS)
async def test_an_unknown_id_and_no_id_at_all_are_the_same_404(admin: httpx.AsyncClient, path: str) -> None:
    for user_id in (str(new_id()), "no-id", "0", "%00", "ü", "a" * 3000):
        assert refused(await admin.get(path.format(user_id)), 404, "not_found") == "User not found"


@pytest.mark.parametrize("path", PATHS)
async def test_a_stranger_is_the_same_404(ada: httpx.AsyncClient, admin: httpx.AsyncClient, path: str) -> None:
    assert refused(await ada.get(path.format(await me(admin))), 404, "not_found") == "User not found"


@pytest.mark.parametrize("path", PATHS)
async def test_a_colleague_is_there_also_for_a_token(
    site: Site, ada: httpx.AsyncClient, admin: httpx.AsyncClient, path: str
) -> None:
    web = await squad(admin)
    made(await admin.post(f"{web}/members", json={"name": "ada", "kind": "person", "user": "ADA@example.com"}))
    tess = await external(site, admin, web, "tess")
    for client in (ada, tess):
        assert (await client.get(path.format(await me(admin)))).status_code == 200
    assert (await admin.get(path.format(await me(ada)))).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_an_administrator_sees_everybody(ada: httpx.AsyncClient, admin: httpx.AsyncClient, path: str) -> None:
    assert (await admin.get(path.format(await me(ada)))).json()["email"] == "ada@example.com"


async def test_both_drivers_give_the_same_answer(site: Site, ada: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    stranger = await site.caller("sqd_unknown")
    nobody = await site.caller()
    for client in (ada, admin, stranger, nobody):
        for user_id in (await me(ada), await me(admin), str(new_id()), "no-id"):
            fast, slow = [await client.get(path.format(user_id)) for path in PATHS]
            assert fast.status_code == slow.status_code
            assert fast.headers.get("www-authenticate") == slow.headers.get("www-authenticate")
            if fast.status_code == 200:
                assert User.model_validate_json(fast.content) == User.model_validate_json(slow.content)
            else:
                assert fast.content == slow.content


async def test_the_sync_route_is_documented_as_deprecated(admin: httpx.AsyncClient) -> None:
    paths = (await admin.get("/openapi.json")).json()["paths"]
    assert paths["/sync-users/{user_id}"]["get"]["deprecated"]
    assert "deprecated" not in paths["/users/{user_id}"]["get"]


async def test_me_is_oneself_and_a_token_has_no_account(site: Site, ada: httpx.AsyncClient) -> None:
    assert (await ada.get("/users/me")).json()["email"] == "ada@example.com"
    tess = await external(site, ada, await squad(ada), "tess")
    assert "API key" in refused(await tess.get("/users/me"), 404, "not_found")


async def test_an_administrator_makes_accounts(admin: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    grace = made(await admin.post("/users", json={"email": "grace@example.com", "name": "Grace 🦉"}))
    assert (grace["name"], grace["is_admin"], grace["is_active"]) == ("Grace 🦉", False, True)
    again = await admin.post("/users", json={"email": "GRACE@example.com"})
    assert refused(again, 409, "already_exists") == "GRACE@example.com has an account already."
    refused(await ada.post("/users", json={"email": "eve@example.com"}), 403, "forbidden")


async def test_the_list_is_everybody_for_an_administrator_and_oneself_for_others(
    site: Site, admin: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    async def emails(client: httpx.AsyncClient) -> list[str]:
        return [user["email"] for user in (await client.get("/users")).json()["items"]]

    assert await emails(admin) == ["ada@example.com", "owner@localhost"]
    assert await emails(ada) == ["ada@example.com"]
    assert await emails(await external(site, ada, await squad(ada), "tess")) == []


async def test_a_key_for_somebody_else_takes_an_administrator(
    site: Site, admin: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    for_ada = made(await admin.post(f"/users/{await me(ada)}/keys", json={"name": "laptop"}))
    assert await me(await site.caller(for_ada["secret"])) == await me(ada)
    by_herself = made(await ada.post(f"/users/{await me(ada)}/keys", json={}))
    assert await me(await site.caller(by_herself["secret"])) == await me(ada)
    for user_id in (await me(admin), str(new_id()), "no-id"):
        assert refused(await ada.post(f"/users/{user_id}/keys", json={}), 404, "not_found") == "User not found"
    tess = await external(site, ada, await squad(ada), "tess")
    refused(await tess.post(f"/users/{await me(ada)}/keys", json={}), 403, "forbidden")
