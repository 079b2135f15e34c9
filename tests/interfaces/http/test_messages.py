import httpx
import pytest

from agentsquad.schemas.messages import Inbox, Messages, MessageSent
from tests.interfaces.http.conftest import Site, external, made, refused, squad, tasks


@pytest.fixture
async def web(ada: httpx.AsyncClient) -> str:
    return await squad(ada)


@pytest.fixture
async def tess(site: Site, ada: httpx.AsyncClient, web: str) -> httpx.AsyncClient:
    return await external(site, ada, web, "tess")


async def test_a_message_comes_to_whom_it_is_for_and_stays_until_it_is_acknowledged(
    ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str
) -> None:
    sent = MessageSent.model_validate(made(await ada.post(f"{web}/messages", json={"to": "tess", "body": "Zwölf 🥊"})))
    assert (sent.sender, sent.recipients, sent.unread) == ("owner", ["tess"], 0)
    box = Inbox.model_validate_json((await tess.get(f"{web}/members/me/inbox")).content)
    assert [(message.body, message.read_at) for message in box.items] == [("Zwölf 🥊", None)]
    assert box.unread == 1
    read = await tess.post(f"{web}/members/me/read", json={"up_to": sent.position})
    assert read.json() == {"unread": 0}
    assert (await tess.get(f"{web}/members/me/inbox?unread=true")).json()["items"] == []
    await tess.post(f"{web}/members/me/ack", json={"messages": [sent.position]})
    assert (await ada.get(f"{web}/members/tess/inbox")).json()["items"][0]["acknowledged_at"] is not None


async def test_how_many_wait_comes_with_every_task_operation(
    ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str
) -> None:
    await tasks(ada, web, "one")
    made(await ada.post(f"{web}/messages", json={"all": True, "body": "x"}))
    assert (await tess.post(f"{web}/tasks/claim")).json()["unread"] == 1
    for verb in ("heartbeat", "complete"):
        assert (await tess.post(f"{web}/tasks/1/{verb}", json={"claim": "1/1"})).json()["unread"] == 1


async def test_a_thread_and_all_messages_are_pages(ada: httpx.AsyncClient, web: str) -> None:
    await tasks(ada, web, "one")
    for number in range(5):
        made(await ada.post(f"{web}/messages", json={"task": 1, "body": str(number)}))
    for path in (f"{web}/messages", f"{web}/tasks/1/messages"):
        seen: list[str] = []
        cursor: str | None = "0"
        while cursor is not None:
            answer = await ada.get(path, params={"limit": 2, "cursor": cursor})
            page = Messages.model_validate_json(answer.content)
            seen += [message.body for message in page.items]
            cursor = page.next
        assert seen == ["0", "1", "2", "3", "4"]
    refused(await ada.get(f"{web}/tasks/2/messages"), 404, "not_found")


@pytest.mark.parametrize("given", [{"to": "nobody"}, {}, {"to": "tess", "all": True}, {"to": "tess", "body": ""}])
async def test_a_message_without_somebody_to_read_it_is_refused(
    ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str, given: dict[str, object]
) -> None:
    refused(await ada.post(f"{web}/messages", json={"body": "x"} | given), 422, "invalid")
    assert (await ada.get(f"{web}/messages")).json()["items"] == []


async def test_nobody_marks_anothers_messages(ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str) -> None:
    sent = made(await ada.post(f"{web}/messages", json={"to": "tess", "body": "x"}))
    for verb, given in (("read", {"up_to": sent["position"]}), ("ack", {"messages": [sent["position"]]})):
        refused(await ada.post(f"{web}/members/tess/{verb}", json=given), 403, "forbidden")
