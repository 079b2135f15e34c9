import asyncio
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psycopg2

from agentsquad.schemas.users import Keys
from backend.core.settings import Settings
from tests.interfaces.http.conftest import Site, external, made, opened, refused, squad


async def dies_within_a_second(clients: list[httpx.AsyncClient], path: str) -> None:
    """No request that begins a second after the revocation succeeds."""
    revoked_at = asked_at = time.monotonic()
    for client in clients:
        while (await client.get(path)).status_code == 200:
            assert asked_at < revoked_at + 1
            await asyncio.sleep(0.02)
            asked_at = time.monotonic()
        refused(await client.get(path), 401, "unauthenticated")


def test_two_servers_that_start_on_one_empty_database_make_one_administrator(empty_url: str, tmp_path: Path) -> None:
    start = (
        "import asyncio\n"
        "from backend.app import app\n"
        "async def main():\n"
        "    async with app.router.lifespan_context(app): pass\n"
        "asyncio.run(main())"
    )
    homes = [tmp_path / "one", tmp_path / "two"]
    servers = [
        subprocess.Popen([sys.executable, "-c", start], env={"DATABASE_URL": empty_url, "SQUAD_HOME": str(home)})
        for home in homes
    ]
    assert [server.wait(60) for server in servers] == [0, 0]
    database = psycopg2.connect(empty_url)
    with database, database.cursor() as cursor:
        cursor.execute("SELECT count(*), bool_and(is_admin), (SELECT count(*) FROM api_keys) FROM users")
        assert cursor.fetchone() == (1, True, 1)
    database.close()
    assert [(home / "key").exists() for home in homes].count(True) == 1


async def test_the_first_key_is_readable_by_nobody_else(site: Site, admin: httpx.AsyncClient) -> None:
    file = site.home / "key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in site.home.iterdir()] == ["key"]
    assert (await admin.get("/users/me")).json()["is_admin"] is True


async def test_a_second_start_makes_no_second_administrator(site: Site, settings: Settings) -> None:
    before = site.key
    async with opened(settings) as second:
        assert second.key == before
        users = (await (await second.caller(before)).get("/users")).json()["items"]
    assert len(users) == 1


async def test_one_makes_lists_and_revokes_ones_own(site: Site, ada: httpx.AsyncClient) -> None:
    made_one = made(await ada.post("/keys", json={"name": "laptop"}))
    listed = Keys.model_validate_json((await ada.get("/keys")).content).items
    assert [key.name for key in listed] == ["laptop", "test"]
    assert made_one["secret"] not in (await ada.get("/keys")).text
    assert (await (await site.caller(made_one["secret"])).get("/users/me")).status_code == 200
    for _ in range(2):
        assert (await ada.delete(f"/keys/{made_one['id']}")).status_code == 204
    assert (await ada.get("/keys")).json()["items"][0]["revoked_at"] is not None


async def test_somebody_elses_key_is_not_there(admin: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    key = made(await admin.post("/keys", json={}))
    for key_id in (key["id"], "no-id", "%00"):
        assert refused(await ada.delete(f"/keys/{key_id}"), 404, "not_found") == "Key not found"
    owner = (await admin.get("/users/me")).json()["id"]
    assert refused(await ada.get(f"/users/{owner}/keys"), 404, "not_found") == "User not found"


async def test_an_administrator_lists_and_revokes_anybodys(admin: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    user = (await ada.get("/users/me")).json()["id"]
    key = made(await ada.post("/keys", json={"name": "laptop"}))
    listed = (await admin.get(f"/users/{user}/keys")).json()
    assert listed == (await ada.get(f"/users/{user}/keys")).json() == (await ada.get("/keys")).json()
    assert (await admin.delete(f"/keys/{key['id']}")).status_code == 204
    assert (await ada.get("/keys")).json()["items"][0]["revoked_at"] is not None


async def test_an_account_that_is_not_active_opens_nothing(admin: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    user = (await ada.get("/users/me")).json()["id"]
    assert (await admin.patch(f"/users/{user}", json={"is_active": False})).json()["is_active"] is False
    await dies_within_a_second([ada], "/users/me")
    assert (await admin.patch(f"/users/{user}", json={"is_active": True})).status_code == 200
    assert (await ada.get("/users/me")).status_code == 200
    refused(await ada.patch(f"/users/{user}", json={"name": "Ada"}), 403, "forbidden")
    owner = (await admin.get("/users/me")).json()["id"]
    refused(await admin.patch(f"/users/{owner}", json={"is_active": False}), 403, "forbidden")


async def test_a_token_gets_no_keys(site: Site, ada: httpx.AsyncClient) -> None:
    tess = await external(site, ada, await squad(ada), "tess")
    refused(await tess.post("/keys", json={}), 403, "forbidden")
    assert (await tess.get("/keys")).json() == {"items": []}


async def test_a_revoked_key_is_dead_on_every_server_within_a_second(
    site: Site, settings: Settings, ada: httpx.AsyncClient
) -> None:
    key = made(await ada.post("/keys", json={}))
    async with opened(settings) as second:
        clients = [await site.caller(key["secret"]), await second.caller(key["secret"])]
        for client in clients:
            assert (await client.get("/users/me")).status_code == 200
        await ada.delete(f"/keys/{key['id']}")
        await dies_within_a_second(clients, "/users/me")


async def test_a_revoked_token_is_dead_on_every_server_within_a_second(
    site: Site, settings: Settings, ada: httpx.AsyncClient
) -> None:
    web = await squad(ada)
    made(await ada.post(f"{web}/members", json={"name": "tess"}))
    token = made(await ada.post(f"{web}/members/tess/tokens", json={}))
    async with opened(settings) as second:
        clients = [await site.caller(token["secret"]), await second.caller(token["secret"])]
        for client in clients:
            assert (await client.get(web)).status_code == 200
        for _ in range(2):
            assert (await ada.delete(f"{web}/members/tess/tokens/{token['id']}")).status_code == 204
        await dies_within_a_second(clients, web)
