"""Logging in and out, and who is at the wrong door."""

from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text

from backend.core.database import Database
from backend.core.settings import Settings
from backend.interfaces.dashboard.sessions import own_path
from backend.operations import keys
from tests.interfaces.dashboard.conftest import OURS, key_of, logged_in
from tests.interfaces.http.conftest import Site, external, made, squad


async def visitor(site: Site, cookie: str | None = None) -> httpx.AsyncClient:
    tab = await site.caller()
    tab.headers.update(OURS)
    if cookie is not None:
        tab.cookies.set("agentsquad", cookie)
    return tab


async def link(account: httpx.AsyncClient) -> str:
    return str(made(await account.post("/links"))["url"]).removeprefix("http://squads.test")


async def is_in(tab: httpx.AsyncClient) -> bool:
    """Whether a browser sees pages, and not the way to the log-in."""
    answer = await tab.get("/")
    if answer.status_code == 303 and answer.headers["location"] == "/login":
        return False
    assert answer.status_code in (200, 303), answer.text
    return True


async def test_a_key_logs_in_and_its_text_is_never_shown(site: Site, ada: httpx.AsyncClient) -> None:
    tab = await visitor(site)
    assert not await is_in(tab)
    answer = await tab.post("/login", data={"key": f"  {key_of(ada)}\n"})
    cookie = answer.headers["set-cookie"]
    assert "agentsquad=sqb_" in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=2592000"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert key_of(ada) not in answer.text + cookie
    assert await is_in(tab)


async def test_over_https_the_cookie_stays_there(site: Site, ada: httpx.AsyncClient) -> None:
    tab = await site.caller()
    given = {"key": key_of(ada)}
    answer = await tab.post("https://squads.test/login", data=given, headers={"Origin": "https://squads.test"})
    assert "Secure" in answer.headers["set-cookie"].split("; ")


@pytest.mark.parametrize("given", ["", "sqd_wrong", "<b>", "\x00", "ü" * 70, "x" * 9_000])
async def test_a_wrong_key_gets_a_sentence(site: Site, given: str) -> None:
    tab = await visitor(site)
    answer = await tab.post("/login", data={"key": given})
    assert answer.status_code == 401
    assert "This key is unknown or revoked" in answer.text
    assert not given or given not in answer.text.replace("<b>Agent", "")
    assert "set-cookie" not in answer.headers


async def test_neither_tokens_nor_other_kinds_of_key_log_in(site: Site, ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    token = key_of(await external(site, ada, web, "tess"))
    tab = await logged_in(site, ada)
    stolen = (await link(ada)).partition("link=")[2]
    for given, status in ((token, 403), (tab.cookies["agentsquad"], 401), (stolen, 401)):
        assert (await (await visitor(site)).post("/login", data={"key": given})).status_code == status


async def test_only_a_browser_s_key_is_a_cookie(site: Site, ada: httpx.AsyncClient) -> None:
    token = key_of(await external(site, ada, await squad(ada), "tess"))
    unused = (await link(ada)).partition("link=")[2]
    for cookie in (key_of(ada), token, unused, keys.new_secret(keys.BROWSER), "", "ü"):
        assert not await is_in(await visitor(site, quote(cookie)))
    assert await is_in(await visitor(site, (await logged_in(site, ada)).cookies["agentsquad"]))


async def test_a_link_logs_in_once(site: Site, ada: httpx.AsyncClient) -> None:
    path = await link(ada)
    tab, late = await visitor(site), await visitor(site)
    assert (await tab.head(path)).status_code == 200  # a look uses nothing up
    for _ in range(2):  # whoever is in by it may open it again
        assert (await tab.get(path)).headers["location"] == "/"
        assert await is_in(tab)
    answer = await late.get(path)
    assert answer.status_code == 401
    assert "make a new one with <code>asq open</code>" in answer.text or "make a new one with `asq open`" in answer.text
    assert not await is_in(late)


@pytest.mark.parametrize("site_said", ["cross-site", "same-site", None])
async def test_a_link_that_another_page_may_have_led_to_logs_in_by_a_button_only(
    site: Site, ada: httpx.AsyncClient, site_said: str | None
) -> None:
    path = await link(ada)
    tab = await visitor(site)
    said = {"Sec-Fetch-Site": site_said} if site_said else {}
    del tab.headers["Sec-Fetch-Site"]
    answer = await tab.get(path, headers=said)
    assert answer.status_code == 200
    assert "Log in by this link" in answer.text
    assert not await is_in(tab)
    secret = path.partition("link=")[2]
    foreign = said | {"Origin": "https://elsewhere.example"}
    assert (await tab.post("/login", data={"link": secret}, headers=foreign)).status_code == 403
    assert (await tab.post("/login", data={"link": secret})).status_code == 303
    assert await is_in(tab)


async def test_who_logs_out_is_out_within_a_second_and_others_stay(site: Site, ada: httpx.AsyncClient) -> None:
    tab, other = await logged_in(site, ada), await logged_in(site, ada)
    stolen = await visitor(site, tab.cookies["agentsquad"])
    assert await is_in(stolen)
    answer = await tab.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "agentsquad" not in tab.cookies
    site.app.state.credentials._known.clear()  # a second later
    assert not await is_in(stolen)
    assert await is_in(other)


async def test_a_revoked_or_expired_log_in_is_none(site: Site, ada: httpx.AsyncClient, settings: Settings) -> None:
    tab, late = await logged_in(site, ada), await logged_in(site, ada)
    listed = (await ada.get("/keys")).json()["items"]
    assert [key["kind"] for key in listed] == ["browser", "browser", "key"]
    database = Database(settings)
    async with database.AsyncSessionLocal() as session, session.begin():
        over = "UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = CAST(:id AS uuid)"
        await session.execute(text(over), {"id": listed[0]["id"]})
    await database.close()
    assert (await ada.delete(f"/keys/{listed[1]['id']}")).status_code == 204
    site.app.state.credentials._known.clear()
    assert [await is_in(each) for each in (tab, late)] == [False, False]


async def test_afterwards_one_is_where_one_was_going(site: Site, ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    tab = await visitor(site)
    path = f"/ui{web.removeprefix('/squads')}/feed?before=7"
    to_login = (await tab.get(path)).headers["location"]
    assert to_login == f"/login?next={quote(path)}"
    form = await tab.get(to_login)
    assert f'value="{path}"' in form.text
    answer = await tab.post("/login", data={"key": key_of(ada), "next": path})
    assert answer.headers["location"] == path
    assert (await tab.get(to_login)).headers["location"] == path


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "https://evil.example/ui/", "/\\evil.example", "/ui/\\evil", "javascript:alert(1)", "ui/x", "",
     "/ui/a\nb", "/users", "/ui", "//ui/evil"],
)  # fmt: skip
def test_no_address_leads_elsewhere(path: str) -> None:
    assert own_path(path) == "/"
    assert own_path("/ui/webshop/tasks/1?x=/ui/") == "/ui/webshop/tasks/1?x=/ui/"


async def test_who_is_not_logged_in_is_told_so_in_the_way_it_asked(site: Site) -> None:
    tab = await visitor(site)
    fragment = await tab.get("/ui/web", headers={"HX-Request": "true"})
    assert (fragment.status_code, fragment.headers["hx-redirect"]) == (401, "/login?next=/ui/web")
    stream = await tab.get("/ui/web/stream", headers={"Accept": "text/event-stream"})
    assert stream.status_code == 401
    form = await tab.post("/ui/web/pause")
    assert (form.status_code, form.headers["location"]) == (303, "/login")
