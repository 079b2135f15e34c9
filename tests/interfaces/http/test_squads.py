import httpx
import pytest

from agentsquad.schemas.squads import Squad, Squads, Templates
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


async def test_a_squad_is_made_from_each_template(ada: httpx.AsyncClient) -> None:
    templates = Templates.model_validate_json((await ada.get("/templates")).content).items
    assert len(templates) == 3
    for template in templates:
        made_of = made(await ada.post("/squads", json={"name": template.name, "template": template.name}))
        assert {member["name"] for member in made_of["members"]} == {"owner", *(each.name for each in template.members)}
    refused(await ada.post("/squads", json={"name": "x", "template": "none"}), 422, "invalid")


async def test_what_is_given_changes_and_the_rest_stays(ada: httpx.AsyncClient) -> None:
    web = await squad(ada, lease_seconds=30)
    changed = (await ada.patch(web, json={"name": "shop"})).json()
    assert (changed["name"], changed["lease_seconds"]) == ("shop", 30)
    refused(await ada.get(web), 404, "not_found")
    refused(await ada.patch("/squads/shop", json={"name": None}), 422, "invalid")


async def test_while_it_is_paused_nobody_claims(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    await tasks(ada, web, "one")
    assert (await ada.post(f"{web}/pause")).json()["paused_at"] is not None
    assert (await ada.post(f"{web}/tasks/claim")).json()["items"] == []
    refused(await ada.post(f"{web}/tasks/1/claim"), 409, "paused")
    assert (await ada.post(f"{web}/resume")).json()["paused_at"] is None
    assert len((await ada.post(f"{web}/tasks/claim")).json()["items"]) == 1


async def test_an_archived_squad_is_read_and_written_no_more_until_it_is_opened_again(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    assert (await ada.post(f"{web}/archive")).json()["archived_at"] is not None
    refused(await ada.post(f"{web}/tasks", json={"tasks": [{"title": "x"}]}), 409, "archived")
    assert (await ada.get(f"{web}/board")).status_code == 200
    lists = [(await ada.get(f"/squads?archived={archived}")).json()["items"] for archived in ("false", "true")]
    assert [len(items) for items in lists] == [0, 1]
    assert (await ada.post(f"{web}/unarchive")).json()["archived_at"] is None
    await tasks(ada, web, "x")
