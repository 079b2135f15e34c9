"""What pages say and to whom: rights, forms without a script, texts that look like HTML."""

import re
from collections.abc import Iterator
from html import unescape

import httpx
import pytest

from backend.core import errors
from backend.interfaces.dashboard.errors import TABLE
from tests.interfaces.dashboard.conftest import CARDS, full_of, logged_in, worked
from tests.interfaces.http.conftest import Site, external, made, squad, tasks
from tests.operations import journal

PAGES = ("", "/tasks/1", "/graph", "/inbox", "/members", "/feed")
EVIL = "</title><script>x</script><img src=x onerror=y>'\"{{7*7}}&amp;"


async def text(tab: httpx.AsyncClient, path: str = "", status: int = 200) -> str:
    answer = await tab.get(f"/ui/web{path}")
    assert answer.status_code == status, answer.text
    return answer.text


async def post(tab: httpx.AsyncClient, path: str, **fields: str) -> str:
    """A form without a script; where it leads."""
    answer = await tab.post(f"/ui/web{path}", data=fields)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def kinds(base: type[errors.SquadError] = errors.SquadError) -> Iterator[type[errors.SquadError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_error_has_a_page() -> None:
    assert set(TABLE) == set(kinds())
    assert all(400 <= status < 600 and heading for status, heading in TABLE.values())


async def test_who_has_one_squad_goes_there_and_who_has_more_chooses(
    ada: httpx.AsyncClient, tab: httpx.AsyncClient
) -> None:
    assert "You are in no squad yet" in (await tab.get("/")).text
    await squad(ada)
    assert (await tab.get("/")).headers["location"] == "/ui/web"
    await squad(ada, "shop")
    listed = (await tab.get("/")).text
    assert re.findall(r'href="/ui/(\w+)"', listed) == ["shop", "web"]


async def test_namesakes_are_told_apart(site: Site, admin: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    await squad(ada)
    await squad(admin)
    person = {"name": "admin", "kind": "person", "user": "owner@localhost"}
    made(await ada.post("/squads/web/members", json=person))
    tab = await logged_in(site, admin)
    for identity in re.findall(r'href="/ui/([0-9a-f-]{36})"', (await tab.get("/")).text):
        assert (await tab.get(f"/ui/{identity}")).status_code == 200
    assert len(set(re.findall(r'href="/ui/([0-9a-f-]{36})"', (await tab.get("/")).text))) == 2


async def test_somebody_elses_squad_is_not_there(
    site: Site, admin: httpx.AsyncClient, ada: httpx.AsyncClient, tab: httpx.AsyncClient
) -> None:
    await tasks(ada, await squad(ada), "one")
    stranger = await logged_in(site, admin)
    for page in (*PAGES, "/stream"):
        answer = await stranger.get(f"/ui/web{page}")
        nowhere = await stranger.get(f"/ui/nowhere{page}")
        assert (answer.status_code, answer.text) == (404, nowhere.text)
        assert "There is no such squad" in answer.text or "Squad not found" in answer.text
    for action in ("/pause", "/resume", "/tasks/1/send", "/tasks/1/cancel", "/inbox/send", "/members/owner/pause"):
        assert (await stranger.post(f"/ui/web{action}", data={"body": "x"})).status_code == 404
    assert [(await tab.get(f"/ui/web{page}")).status_code for page in PAGES] == [200] * len(PAGES)


@pytest.mark.parametrize(
    "path",
    ["%00", "a" * 300, "web/tasks/0", "web/tasks/" + "9" * 5000, "web/tasks/x", "web/nothing", "web/tasks/7", "web/",
     "web/members/%00/pause"],
)  # fmt: skip
async def test_what_is_not_there_is_a_page_that_says_so(
    ada: httpx.AsyncClient, tab: httpx.AsyncClient, path: str
) -> None:
    await squad(ada)
    method = "POST" if path.endswith("pause") else "GET"
    answer = await tab.request(method, f"/ui/{path}")
    assert answer.status_code == 404
    assert "<h1>" in answer.text


async def test_the_board_shows_each_task_in_its_column(ada: httpx.AsyncClient, tab: httpx.AsyncClient) -> None:
    web = await squad(ada)
    await tasks(ada, web, "one", "two", "three", "four")
    await tasks(ada, web, "five", depends_on=[2, 3])
    await ada.post(f"{web}/tasks/1/claim")
    await ada.post(f"{web}/tasks/3/claim")
    await ada.post(f"{web}/tasks/3/complete", json={"claim": "3/1"})
    await ada.post(f"{web}/tasks/4/cancel")
    board = await text(tab)
    lists = {
        name: CARDS.findall(cards) for name, cards in re.findall(r'id="cards-(\w+)".*?>(.*?)</ul>', board, re.DOTALL)
    }
    assert lists == {
        "blocked": ["5"], "todo": ["2"], "in_progress": ["1"], "in_review": [], "failed": [], "done": ["3"],
        "cancelled": ["4"],
    }  # fmt: skip
    assert "waits for #2<" in board


async def test_a_fragment_is_the_inside_of_the_page(ada: httpx.AsyncClient, tab: httpx.AsyncClient) -> None:
    await tasks(ada, await squad(ada), "one")
    for page in PAGES:
        fragment = (await tab.get(f"/ui/web{page}", headers={"HX-Request": "true"})).text
        whole = await text(tab, page)
        assert "<html" not in fragment
        assert fragment.partition("<main")[2].partition("</main>")[0] in whole


async def test_forms_work_without_a_script(site: Site, ada: httpx.AsyncClient, tab: httpx.AsyncClient) -> None:
    web = await squad(ada)
    tess = await external(site, ada, web, "tess")
    await tasks(ada, web, "one", "two")
    assert await post(tab, "/tasks/1/send", body="first\r\nsecond") == "/ui/web/tasks/1"
    assert (await ada.get(f"{web}/tasks/1/messages")).json()["items"][0]["body"] == "first\nsecond"
    assert await post(tab, "/tasks/1/cancel", reason="no", cascade="on") == "/ui/web/tasks/1"
    assert "#1 was cancelled by owner: no." in await text(tab, "/tasks/1")
    assert await post(tab, "/tasks/1/retry") == "/ui/web/tasks/1"
    assert await post(tab, "/inbox/send", to="tess", body="hello") == "/ui/web/inbox"
    assert (await tess.get(f"{web}/members/me/inbox")).json()["items"][-1]["body"] == "hello"
    assert await post(tab, "/members/tess/pause") == "/ui/web/members"
    assert "paused" in (await text(tab, "/members"))
    assert await post(tab, "/members/tess/resume") == "/ui/web/members"
    assert await post(tab, "/pause", now="on") == "/ui/web"
    assert "Resume the squad" in await text(tab)
    assert await post(tab, "/resume") == "/ui/web"
    await ada.post(f"{web}/tasks/1/block", json={"reason": "money"})
    assert await post(tab, "/tasks/1/resume") == "/ui/web/tasks/1"


async def test_a_question_is_answered_in_the_inbox(site: Site, ada: httpx.AsyncClient, tab: httpx.AsyncClient) -> None:
    web = await squad(ada)
    tess = await external(site, ada, web, "tess")
    await tasks(ada, web, "one")
    claim = (await tess.post(f"{web}/tasks/claim")).json()["items"][0]["claim"]
    made(await tess.post(f"{web}/tasks/1/ask", json={"claim": claim, "question": "Which one?"}))
    made(await tess.post(f"{web}/messages", json={"to": "owner", "body": "see there"}))
    inbox = await text(tab, "/inbox")
    assert "Which one?" in inbox
    assert '<span class="count">2<' in inbox
    assert await post(tab, "/tasks/2/answer", answer="the red one", **{"from": "inbox"}) == "/ui/web/inbox"
    assert (await ada.get(f"{web}/tasks/2")).json()["result"] == "the red one"
    assert "Which one?" not in await text(tab, "/inbox")
    position = re.search(r'id="m(\d+)"', await text(tab, "/inbox"))
    assert position is not None
    assert await post(tab, "/inbox/mark_read", position=position[1]) == "/ui/web/inbox"
    assert 'class="count"' not in await text(tab, "/inbox")
    assert await post(tab, "/inbox/acknowledge", position=position[1]) == "/ui/web/inbox"
    assert "acknowledged" in await text(tab, "/inbox")


async def test_a_form_of_the_page_gets_a_word_back_or_a_notice(ada: httpx.AsyncClient, tab: httpx.AsyncClient) -> None:
    await tasks(ada, await squad(ada), "one")
    tab.headers["HX-Request"] = "true"
    assert (await tab.post("/ui/web/tasks/1/send", data={"body": "x"})).status_code == 204
    for body, status, sentence in (
        ("", 422, "body is too short."),
        ("a\x00b", 422, "holds a NUL character"),
        ("ä" * 132_000, 422, "at most 262144 bytes"),
        ("x" * 900_000, 413, "That is too long; send less."),
    ):
        answer = await tab.post("/ui/web/tasks/1/send", data={"body": body})
        assert (answer.status_code, answer.headers["hx-retarget"]) == (status, "#notice")
        assert sentence in answer.text
    answer = await tab.post("/ui/web/tasks/1/retry")
    assert answer.status_code == 409
    assert "#1" in unescape(answer.text)


async def test_only_what_one_may_do_is_offered_and_the_server_decides(
    site: Site, admin: httpx.AsyncClient, ada: httpx.AsyncClient, tab: httpx.AsyncClient
) -> None:
    web = await squad(ada)
    made(await ada.post(f"{web}/members", json={"name": "paul", "kind": "person", "user": "owner@localhost"}))
    await tasks(ada, web, "one")
    await tasks(ada, web, "two", assignee="paul")
    paul = await logged_in(site, admin)
    for who, offered in ((tab, {"cancel"}), (paul, set())):
        page = await text(who, "/tasks/1")
        assert set(re.findall(r'action="/ui/web/tasks/1/(\w+)"', page)) == offered | {"send"}
    assert 'action="/ui/web/tasks/2/answer"' in await text(paul, "/tasks/2")
    assert 'action="/ui/web/tasks/2/answer"' not in await text(tab, "/tasks/2")
    assert "/pause" not in await text(paul) + await text(paul, "/members")
    for action in ("/pause", "/tasks/1/cancel", "/members/owner/pause"):
        answer = await paul.post(f"/ui/web{action}")
        assert answer.status_code == 403, action
        assert "<h1>Not allowed</h1>" in answer.text
    await ada.post(f"{web}/archive")
    for page in PAGES:
        assert re.findall(r'<form[^>]* action="([^"]*)"', await text(tab, page)) == ["/logout"]
    assert (await tab.post("/ui/web/tasks/1/send", data={"body": "x"})).status_code == 409


def taken_for_html(shown: str) -> list[str]:
    """Tags of the evil text that a browser would see."""
    return re.findall(r"<script>x|<img|{{(?!7)|^49", shown)


async def test_no_text_is_taken_for_html(site: Site, ada: httpx.AsyncClient, tab: httpx.AsyncClient) -> None:
    for page in await full_of(site, ada, EVIL):
        shown = await text(tab, page)
        assert taken_for_html(shown) == [], page
        assert EVIL in unescape(shown), page


async def test_members_are_shown_with_the_model_that_runs_them(ada: httpx.AsyncClient, tab: httpx.AsyncClient) -> None:
    web = await squad(ada)
    for name, hosting in (("hal", {"model": "ollama:qwen3"}), ("ben", None)):
        new = {"name": name, "kind": "hosted", "role": "writer", "hosting": hosting}
        made(await ada.post(f"{web}/members", json=new))
    shown = await text(tab, "/members")
    assert "hosted · writer · ollama:qwen3 · never seen" in shown
    assert "hosted · writer · never seen" in shown


async def test_a_task_shows_the_newest_steps_and_leads_to_earlier_ones(
    site: Site, ada: httpx.AsyncClient, tab: httpx.AsyncClient
) -> None:
    web = await squad(ada)
    tess = await external(site, ada, web, "tess")
    await tasks(ada, web, "one")
    assert 'id="steps"' not in await text(tab, "/tasks/1")
    for attempt in range(1, 10):
        await tess.post(f"{web}/tasks/1/claim")
        await worked(site, ada, f"1/{attempt}", f"say {attempt}", first=1 + journal.STEPS * (attempt - 1))
        await tess.post(f"{web}/tasks/1/release", json={"claim": f"1/{attempt}"})
    page = await text(tab, "/tasks/1")
    seen = [[int(number) for number in re.findall(r'id="step-(\d+)">', page)]]
    assert "The newest steps" not in page
    while older := re.search(r'href="/ui/web(/tasks/1\?before=\d+)#steps"', page):
        page = await text(tab, older[1])
        assert "The newest steps" in page
        seen.append([int(number) for number in re.findall(r'id="step-(\d+)">', page)])
    assert seen == [list(range(14, 64)), list(range(1, 14))]
    for odd in ("?before=1", "?before=x", "?before=99999999999999999999", "?before=-1"):
        assert (await tab.get(f"/ui/web/tasks/1{odd}")).status_code == 200


async def test_what_was_spent_and_what_nobody_knows_the_price_of_is_shown(
    site: Site, ada: httpx.AsyncClient, tab: httpx.AsyncClient
) -> None:
    web = await squad(ada)
    tess = await external(site, ada, web, "tess")
    await tasks(ada, web, "one")
    for page in ("/members", "/tasks/1"):
        assert "Calls of models" not in await text(tab, page)
    await ada.put(f"{web}/budget", json={"cost": 5, "tokens": 200_000})
    assert "$0.00 of $5.00" in await text(tab, "/members")
    await tess.post(f"{web}/tasks/1/claim")
    await worked(site, ada, "1/1", "x" * 20_000)
    members = await text(tab, "/members")
    assert "$0.0542 + $0.05 under way of $5.00 + 1 call of unknown price" in members
    assert "spent $0.0542 + 1 call of unknown price · 10,660 tokens · 3 calls" in members
    page = await text(tab, "/tasks/1")
    assert "$0.0542 + $0.05 under way + 1 call of unknown price" in page
    assert "1,234 tokens · cost unknown" in page
    assert "1,234 tokens · $0.0042" in page
    assert "10,025 more characters; asq task show 1 --steps has them all" in page
    assert len(page) < 150_000


def test_text_that_is_taken_for_html_is_found() -> None:
    assert taken_for_html(f"<p>{EVIL}</p>") == ["<script>x", "<img"]


async def test_older_events_are_on_older_pages_without_a_gap(ada: httpx.AsyncClient, tab: httpx.AsyncClient) -> None:
    await tasks(ada, await squad(ada), *(f"task {number}" for number in range(120)))
    seen: list[int] = []
    path: str | None = "/feed"
    while path is not None:
        page = await text(tab, path)
        seen += map(int, re.findall(r'<li id="e(\d+)"', page))
        older = re.search(r'href="/ui/web(/feed\?before=\d+)"', page)
        path = older and older[1]
    assert seen == list(range(122, 0, -1))


async def test_older_messages_are_on_older_pages(ada: httpx.AsyncClient, site: Site, tab: httpx.AsyncClient) -> None:
    web = await squad(ada)
    tess = await external(site, ada, web, "tess")
    for number in range(60):
        made(await tess.post(f"{web}/messages", json={"all": True, "body": f"message {number}"}))
    await ada.post(f"{web}/members/me/read", json={"up_to": 1_000})
    page = await text(tab, "/inbox")
    assert re.findall(r">message (\d+)<", page) == [str(number) for number in range(10, 60)]
    older = re.search(r'href="/ui/web(/inbox\?before=\d+)"', page)
    assert older is not None
    assert re.findall(r">message (\d+)<", await text(tab, older[1])) == [str(number) for number in range(10)]


async def test_what_a_live_attempt_reserves_is_on_its_card_and_its_page(
    site: Site, ada: httpx.AsyncClient, tab: httpx.AsyncClient
) -> None:
    web = await squad(ada)
    await tasks(ada, web, "one")
    tess = await external(site, ada, web, "tess")
    paths = ["x" * 500, EVIL, "docs/"]
    assert (await tess.post(f"{web}/tasks/1/claim", json={"paths": paths})).status_code == 200
    board, page = await text(tab), await text(tab, "/tasks/1")
    assert f"reserved: <code>{'x' * 59}…</code>, <code>&lt;/title&gt;" in board
    assert "…</code> and 1 more</span>" in board
    assert [unescape(path) for path in re.findall("<code>(.*?)</code>", page)] == paths
    assert "<script>x" not in board + page
    await tess.post(f"{web}/tasks/1/release", json={"claim": "1/1"})
    assert "reserved" not in await text(tab)
    assert "reserved" not in await text(tab, "/tasks/1")
