import httpx

from agentsquad.schemas.members import Me, Members, Tokens
from tests.interfaces.http.conftest import Site, external, made, refused, squad, tasks


async def test_the_owner_adds_members_and_all_see_them(site: Site, ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    grace = made(
        await ada.post(f"{web}/members", json={"name": "grace", "role": "tester", "instructions": "Break it."})
    )
    assert (grace["kind"], grace["role"], grace["user"]) == ("external", "tester", None)
    token = made(await ada.post(f"{web}/members/{grace['id']}/tokens", json={"name": "ci"}))
    listed = Members.model_validate_json((await (await site.caller(token["secret"])).get(f"{web}/members")).content)
    assert [member.name for member in listed.items] == ["grace", "owner"]


async def test_a_person_is_an_account_that_exists(admin: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    web = await squad(admin)
    person = {"name": "ada", "kind": "person", "user": "Ada@Example.com"}
    made(await admin.post(f"{web}/members", json=person))
    assert (await ada.get(web)).status_code == 200
    twice = await admin.post(f"{web}/members", json=person | {"name": "ada2"})
    assert refused(twice, 409, "already_exists") == "Ada@Example.com is a member already."
    for wrong in ({"user": "nobody@example.com"}, {"user": None}, {"kind": "external"}):
        answer = await admin.post(f"{web}/members", json=person | {"name": "eve"} | wrong)
        refused(answer, 422, "invalid")
        assert answer.json()["errors"][0]["field"] == "body.user"


async def test_a_hosted_member_is_run_as_the_owner_says_and_all_see_it(site: Site, ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    tess = await external(site, ada, web, "tess")
    local = {"model": "ollama:qwen3", "base_url": "http://localhost:11434/v1", "settings": {"temperature": 0}}
    hal = made(await ada.post(f"{web}/members", json={"name": "hal", "kind": "hosted", "hosting": local}))
    assert hal["hosting"] == {
        "model": "ollama:qwen3", "base_url": "http://localhost:11434/v1", "tools": [],
        "settings": {"temperature": 0.0, "top_p": None, "max_tokens": None, "timeout": 120, "window": None},
    }  # fmt: skip
    for member in (*(await tess.get(f"{web}/members")).json()["items"], *(await tess.get(web)).json()["members"]):
        assert member["hosting"] == (hal["hosting"] if member["name"] == "hal" else None)
    assert (await tess.get(f"{web}/members/hal")).json() == hal
    assert (await tess.get(f"{web}/members/me")).json()["hosting"] is None
    assert (await ada.patch(f"{web}/members/hal", json={"role": "writer"})).json()["hosting"] == hal["hosting"]
    assert (await ada.patch(f"{web}/members/hal", json={"hosting": {}})).json()["hosting"]["model"] == "default"
    assert (await ada.patch(f"{web}/members/hal", json={"hosting": None})).json()["hosting"] is None
    refused(await tess.patch(f"{web}/members/hal", json={"hosting": {}}), 403, "forbidden")


async def test_what_no_member_is_run_with_is_named(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    made(await ada.post(f"{web}/members", json={"name": "tess"}))
    hal = {"name": "hal", "kind": "hosted"}
    made(await ada.post(f"{web}/members", json=hal))
    for field, hosting in {
        "model": {"model": "a\x00b"},
        "api_key": {"api_key": "secret"},
        "base_url": {"base_url": "http://me:secret@localhost"},
        "settings.temperature": {"settings": {"temperature": 3}},
        "tools.0.url": {"tools": [{"name": "x", "url": "file:///etc/passwd"}]},
    }.items():
        answer = await ada.patch(f"{web}/members/hal", json={"hosting": hosting})
        refused(answer, 422, "invalid")
        assert answer.json()["errors"][0]["field"] == f"body.hosting.{field}"
        assert "secret" not in answer.text
    for answer in (
        await ada.post(f"{web}/members", json={"name": "new", "hosting": {}}),
        await ada.patch(f"{web}/members/tess", json={"hosting": {}}),
        await ada.post("/squads", json={"name": "new", "hosting": {}}),
    ):
        refused(answer, 422, "invalid")
        assert answer.json()["errors"][0]["field"] == "body.hosting"
    assert [member["hosting"] for member in (await ada.get(web)).json()["members"]] == [None] * 3


async def test_a_name_is_taken_once_in_a_squad(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    made(await ada.post(f"{web}/members", json={"name": "tess"}))
    again = await ada.post(f"{web}/members", json={"name": "tess"})
    assert refused(again, 409, "already_exists") == "There is a member tess already."


async def test_only_the_owner_manages_members(site: Site, admin: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    web = await squad(admin)
    made(await admin.post(f"{web}/members", json={"name": "ada", "kind": "person", "user": "ada@example.com"}))
    tess = await external(site, admin, web, "tess")
    for client in (ada, tess):
        for path, body in (("members", {"name": "eve"}), ("members/tess/tokens", {})):
            refused(await client.post(f"{web}/{path}", json=body), 403, "forbidden")
        refused(await client.delete(f"{web}/members/tess/tokens/no-id"), 403, "forbidden")


async def test_a_person_gets_no_token_and_unknown_ones_are_not_there(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    refused(await ada.post(f"{web}/members/owner/tokens", json={}), 403, "forbidden")
    assert refused(await ada.post(f"{web}/members/eve/tokens", json={}), 404, "not_found") == "Member not found"
    for token_id in ("no-id", "%00", "0197f2b4-0000-7000-8000-000000000000"):
        answer = await ada.delete(f"{web}/members/owner/tokens/{token_id}")
        assert refused(answer, 404, "not_found") == "Token not found"


async def test_an_owner_acts_as_an_external_member_and_the_event_names_both(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    made(await ada.post(f"{web}/members", json={"name": "größe"}))
    await tasks(ada, web, "one")
    claim = (
        await ada.post(f"{web}/tasks/claim", headers=httpx.Headers({"Squad-Member": "größe"}, encoding="utf-8"))
    ).json()["items"][0]
    assert claim["task"]["holder"] == "größe"
    event = (await ada.get(f"{web}/events")).json()["items"][-1]
    assert event["actor"] == {"member": "größe", "user": "ada@example.com"}


async def test_nobody_else_acts_as_another(site: Site, admin: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    web = await squad(admin)
    made(await admin.post(f"{web}/members", json={"name": "ada", "kind": "person", "user": "ada@example.com"}))
    tess = await external(site, admin, web, "tess")
    made(await admin.post(f"{web}/members", json={"name": "bob"}))

    async def claim(client: httpx.AsyncClient, name: str) -> httpx.Response:
        return await client.post(f"{web}/tasks/claim", headers={"Squad-Member": name})

    for client in (ada, tess):
        assert "owner" in refused(await claim(client, "bob"), 403, "forbidden")
    assert (await claim(tess, "tess")).status_code == 200
    assert "external" in refused(await claim(admin, "ada"), 403, "forbidden")
    for name in ("nobody", "a" * 5_000):
        assert refused(await claim(admin, name), 404, "not_found") == "Member not found"


async def test_a_member_is_changed_paused_resumed_and_retired(site: Site, ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    tess = await external(site, ada, web, "tess", role="tester")
    await tasks(ada, web, "one", role="lead")
    changed = (await ada.patch(f"{web}/members/tess", json={"name": "theresa", "role": "lead"})).json()
    assert (changed["name"], changed["role"]) == ("theresa", "lead")
    assert (await ada.post(f"{web}/members/theresa/pause")).json()["paused_at"] is not None
    assert (await tess.post(f"{web}/tasks/claim")).json()["items"] == []
    assert (await ada.post(f"{web}/members/theresa/resume")).json()["paused_at"] is None
    assert (await tess.post(f"{web}/tasks/claim")).json()["items"][0]["claim"] == "1/1"
    me = Me.model_validate_json((await tess.get(f"{web}/members/me")).content)
    assert (me.name, me.claims, me.is_owner) == ("theresa", ["1/1"], False)
    assert (await ada.post(f"{web}/members/theresa/retire")).json()["retired_at"] is not None
    assert (await ada.get(f"{web}/tasks/1")).json()["status"] == "todo"
    assert [member["name"] for member in (await ada.get(web)).json()["members"]] == ["owner"]
    assert [member["name"] for member in (await ada.get(f"{web}/members")).json()["items"]] == ["owner", "theresa"]


async def test_tokens_are_listed_without_their_secrets(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    made(await ada.post(f"{web}/members", json={"name": "tess"}))
    tokens = [made(await ada.post(f"{web}/members/tess/tokens", json={"name": name})) for name in ("one", "two")]
    assert (await ada.delete(f"{web}/members/tess/tokens/{tokens[0]['id']}")).status_code == 204
    answer = await ada.get(f"{web}/members/tess/tokens")
    listed = Tokens.model_validate_json(answer.content).items
    assert [(token.name, token.revoked_at is None) for token in listed] == [("two", True), ("one", False)]
    assert not [token for token in tokens if token["secret"] in answer.text]


async def test_pages_hold_all_of_them_once_by_name(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    for name in "dbac":
        made(await ada.post(f"{web}/members", json={"name": name}))
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = Members.model_validate_json((await ada.get(f"{web}/members?limit=2&cursor={cursor}")).content)
        seen += [member.name for member in page.items]
        cursor = page.next
    assert seen == ["a", "b", "c", "d", "owner"]
