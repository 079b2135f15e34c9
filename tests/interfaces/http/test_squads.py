import httpx
import pytest

from agentsquad.schemas.squads import Squad, Squads
from agentsquad.schemas.tasks import Board
from tests.interfaces.http.conftest import Site, external, made, refused, squad, tasks


async def test_its_maker_owns_it_and_is_its_first_member(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/squads", json={"name": "web", "lease_seconds": 5, "max_tries": 2})
    web = Squad.model_validate(made(answer))
    assert (web.name, web.owner.email, web.lease_seconds, web.max_tries) == ("web", "ada@example.com", 5, 2)
    assert [(member.name, member.kind) for member in web.members] == [("owner", "person")]


@pytest.mark.parametrize("name", ["web", "größe", "日本", "a" * 64, "_x.y-z", "Ⅷ"])
async def test_it_is_found_by_id_and_by_name(ada: httpx.AsyncClient, name: str) -> None:
    new = made(await ada.post("/squads", json={"name": name}))
    for address in (name, new["id"], new["id"].upper()):
        assert (await ada.get(f"/squads/{address}")).json() == new


async def test_a_squad_that_one_is_no_part_of_is_not_there(
    site: Site, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    new = made(await ada.post("/squads", json={"name": "web"}))
    elsewhere = await external(site, admin, await squad(admin, "other"), "tess")
    for client in (admin, elsewhere):  # an administrator opens no squad either
        for address in ("web", new["id"], "no-such-squad"):
            for path in ("", "/board", "/tasks", "/members", "/events"):
                answer = await client.get(f"/squads/{address}{path}")
                assert refused(answer, 404, "not_found") == "Squad not found"
        assert "web" not in (await client.get("/squads")).text
        refused(await client.post("/squads/web/tasks", json={"tasks": [{"title": "x"}]}), 404, "not_found")


async def test_among_namesakes_ones_own_comes_first(admin: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    web = await squad(admin)
    made(await admin.post(f"{web}/members", json={"name": "ada", "kind": "person", "user": "ada@example.com"}))
    assert (await ada.get(web)).json()["owner"]["email"] == "owner@localhost"
    await squad(ada)
    assert (await ada.get(web)).json()["owner"]["email"] == "ada@example.com"


async def test_a_name_is_taken_once_by_an_owner(admin: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    await squad(ada)
    again = await ada.post("/squads", json={"name": "web"})
    assert refused(again, 409, "already_exists") == "You have a squad web already."
    await squad(admin)


async def test_a_token_makes_no_squads(site: Site, ada: httpx.AsyncClient) -> None:
    tess = await external(site, ada, await squad(ada), "tess")
    refused(await tess.post("/squads", json={"name": "mine"}), 403, "forbidden")


async def test_pages_hold_all_of_them_once_in_order(ada: httpx.AsyncClient) -> None:
    names = [f"s{number:02}" for number in range(7)]
    for name in reversed(names):
        await squad(ada, name)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = Squads.model_validate_json((await ada.get("/squads", params={"limit": 3, "cursor": cursor})).content)
        seen += [item.name for item in page.items]
        cursor = page.next
    assert seen == names


async def test_the_board_shows_the_log_s_position(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    await tasks(ada, web, "one", "two")
    board = Board.model_validate_json((await ada.get(f"{web}/board")).content)
    assert [(card.number, card.title, card.status) for card in board.tasks] == [(1, "one", "todo"), (2, "two", "todo")]
    assert board.last == (await ada.get(f"{web}/events")).json()["last"] == 4
