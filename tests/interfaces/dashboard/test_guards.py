"""Every answer's headers, and no change that comes from elsewhere."""

import re

import httpx
import pytest
from starlette.routing import Route

from backend.interfaces.dashboard import squads
from backend.interfaces.dashboard.door import ADDRESSES, ROUTES
from backend.interfaces.dashboard.guards import CSP
from tests.interfaces.dashboard.conftest import HOST
from tests.interfaces.http.conftest import Site, made, squad, tasks

ASKED = [(route, method) for route in ROUTES for method in sorted((route.methods or set()) - {"HEAD"})]
ELSEWHERE: list[dict[str, str | None]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "", "Origin": HOST},
    {"Sec-Fetch-Site": None, "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": None, "Origin": "http://squads.test:81"},
    {"Sec-Fetch-Site": None, "Origin": "null"},
    {"Sec-Fetch-Site": None, "Origin": None},
    {"Sec-Fetch-Site": None, "Origin": "http://["},
]


def address(route: Route, name: str = "web") -> str:
    values = {"squad": name, "number": "1", "member": "tess"}
    return re.sub(r"{(\w+)}", lambda part: values[part[1]], route.path)


async def ask(tab: httpx.AsyncClient, method: str, path: str, **more: object) -> httpx.Response:
    if path.endswith("/stream"):
        path = "/ui/nowhere/stream"  # one that is there has no end
    return await tab.request(method, path, **more)  # type: ignore[arg-type]


def test_there_is_a_door_to_every_route_and_to_no_other() -> None:
    assert all(ADDRESSES.fullmatch(address(route)) for route in ROUTES)
    for path in ("/users", "/squads/ui", "/loginx", "/docs", "/openapi.json", "/uix"):
        assert not ADDRESSES.fullmatch(path)


@pytest.mark.parametrize("known", [False, True])
async def test_every_answer_has_a_strict_policy(
    site: Site, ada: httpx.AsyncClient, tab: httpx.AsyncClient, known: bool
) -> None:
    await tasks(ada, await squad(ada), "one")
    paths = [(method, address(route)) for route, method in ASKED if route.path != "/logout"]
    paths += [("GET", "/ui/web/nothing"), ("GET", "/ui/web/tasks/99"), ("PUT", "/login"), ("GET", "/logout")]
    if not known:
        tab.cookies.clear()
    for method, path in paths:
        answer = await ask(tab, method, path)
        assert answer.headers["content-security-policy"] == CSP, path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == ("no-cache" if path.startswith("/ui/static/") else "no-store"), path


def test_the_policy_allows_nothing_inline() -> None:
    assert not re.search(r"unsafe|\*|nonce|https?:", CSP)
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(CSP.split("; "))


async def test_no_page_has_anything_inline(ada: httpx.AsyncClient, tab: httpx.AsyncClient) -> None:
    await tasks(ada, await squad(ada), "one")
    for page in ("", "/tasks/1", "/graph", "/inbox", "/members", "/feed"):
        text = (await tab.get(f"/ui/web{page}")).text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:|hx-on|hx-vals", text), page


@pytest.mark.parametrize("headers", ELSEWHERE)
async def test_a_request_from_elsewhere_changes_nothing(
    ada: httpx.AsyncClient, tab: httpx.AsyncClient, headers: dict[str, str | None]
) -> None:
    await tasks(ada, await squad(ada), "one")
    before = (await ada.get("/squads/web/events")).json()
    for name, value in headers.items():
        if value is None:
            tab.headers.pop(name, None)
        else:
            tab.headers[name] = value
    for route, method in ASKED:
        if method == "POST":
            answer = await tab.post(address(route), data={"body": "x", "answer": "x"})
            assert answer.status_code == 403, route.path
            assert "came from another page" in answer.text
    assert (await ada.get("/squads/web/events")).json() == before
    assert (await tab.get("/ui/web")).status_code == 200


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": HOST}])
async def test_our_own_change_it(ada: httpx.AsyncClient, tab: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """The control."""
    await squad(ada)
    for name in ("Sec-Fetch-Site", "Origin"):
        del tab.headers[name]
    assert (await tab.post("/ui/web/pause", headers=headers)).status_code == 303
    assert (await ada.get("/squads/web")).json()["paused_at"] is not None


async def test_a_defect_is_a_page_with_the_headers(
    site: Site, tab: httpx.AsyncClient, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await squad(ada)
    monkeypatch.setattr(squads, "columns", lambda _: 1 / 0)
    transport = httpx.ASGITransport(app=site.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=HOST, cookies=tab.cookies) as client:
        answer = await client.get("/ui/web")
    assert (answer.status_code, answer.headers["content-security-policy"]) == (500, CSP)
    assert "The server has a defect" in answer.text
    assert "ZeroDivisionError" not in answer.text


async def test_files_are_kept_for_as_long_as_they_are_the_same(tab: httpx.AsyncClient) -> None:
    page = (await tab.get("/login?link=x", headers={"Sec-Fetch-Site": "cross-site"})).text
    addresses = re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', page)
    assert len(addresses) == 4
    for each in addresses:
        answer = await tab.get(each)
        assert "immutable" in answer.headers["cache-control"]
        again = await tab.get(each.partition("?")[0], headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache")


async def test_the_api_is_where_it_was(ada: httpx.AsyncClient) -> None:
    assert made(await ada.post("/squads", json={"name": "static"}))["name"] == "static"
    assert (await ada.get("/docs")).status_code == 200
    assert "/login" not in (await ada.get("/openapi.json")).json()["paths"]
