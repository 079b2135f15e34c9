"""Waiting for something to do, and for what."""

import asyncio

import pytest

from backend.interfaces.mcp.members import MAIL, QUIET, WORK
from tests.interfaces.mcp.conftest import Squad, joined


async def test_work_and_messages_end_a_wait(squad: Squad, mode: str) -> None:
    async with joined(squad.url, await squad.token("tess"), mode) as tess:
        waiting = asyncio.create_task(tess.call("wait", seconds=40))
        await asyncio.sleep(0.2)
        await squad.owner.post(f"{squad.path}/messages", json={"to": "tess", "body": "hello"})
        assert await waiting == {"work": False, "unread": 1, "next": MAIL}
        await squad.task("one", role="tester")
        assert await tess.call("wait") == {"work": True, "unread": 1, "next": WORK}


@pytest.mark.parametrize("what", ["a task for another role", "a message for somebody else"])
async def test_what_is_not_for_it_does_not(squad: Squad, what: str) -> None:
    async with joined(squad.url, await squad.token("tess")) as tess:
        waiting = asyncio.create_task(tess.call("wait", seconds=1))
        if what.startswith("a task"):
            await squad.task("one", role="lead")
        else:
            await squad.owner.post(f"{squad.path}/messages", json={"to": "owner", "body": "hello"})
        assert await waiting == {"work": False, "unread": 0, "next": QUIET}


async def test_what_is_known_does_not_end_it_again(squad: Squad) -> None:
    async with joined(squad.url, await squad.token("tess")) as tess:
        await squad.task("one", role="tester")
        for body in ("one", "two"):
            await squad.owner.post(f"{squad.path}/messages", json={"to": "tess", "body": body})
        first, last = [post["message"] for post in (await tess.call("fetch_inbox"))["items"]]
        assert (await tess.call("wait", work=False, after=first))["next"] == MAIL
        quiet = await tess.call("wait", work=False, after=last, seconds=1)
        assert quiet == {"work": False, "unread": 2, "next": QUIET}
        waiting = asyncio.create_task(tess.call("wait", work=False, after=last, seconds=40))
        await asyncio.sleep(0.2)
        await squad.owner.post(f"{squad.path}/messages", json={"to": "tess", "body": "three"})
        assert await waiting == {"work": False, "unread": 3, "next": MAIL}
