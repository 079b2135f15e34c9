"""The client can ask for everything that HTTP answers."""

import asyncio
import contextlib
import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from agentsquad.client import AsyncClient, SquadError
from agentsquad.schemas.budgets import BudgetNew
from agentsquad.schemas.members import MemberEdit, MemberNew
from agentsquad.schemas.squads import SquadEdit, SquadNew
from agentsquad.schemas.tasks import TaskEdit, TaskNew
from agentsquad.schemas.users import UserEdit, UserNew
from backend.app import app

WITHOUT = {
    "GET /ready": "for those who run servers; the client asks whether one is alive",
    "GET /sync-users/{user_id}": "the deprecated example of a special case",
}
CLAIM = "12/3"
# How every method is called; those that go another way with other arguments are here twice.
CALLS: dict[str, list[tuple[Any, ...] | dict[str, Any]]] = {
    "alive": [()], "squad_id": [()], "user": [()], "users": [()], "create_user": [(UserNew(email="a@example.com"),)],
    "update_user": [("7", UserEdit())], "keys": [(), {"user_id": "7"}], "create_key": [(), {"user_id": "7"}],
    "revoke_key": [("7",)], "squads": [()], "squad": [()], "create_squad": [(SquadNew(name="x"),)],
    "update_squad": [(SquadEdit(),)], "pause_squad": [()], "resume_squad": [()], "archive_squad": [()],
    "unarchive_squad": [()], "board": [()], "templates": [()], "me": [()], "members": [()], "member": [("ada",)],
    "add_member": [(MemberNew(name="x"),)], "update_member": [("ada", MemberEdit())], "pause": [("ada",)],
    "resume": [("ada",)], "retire": [("ada",)], "tokens": [("ada",)], "create_token": [("ada",)],
    "revoke_token": [("ada", "7")], "send": [{"body": "x", "all": True}], "messages": [()], "inbox": [()],
    "thread": [(12,)], "mark_read": [(1,)], "ack": [(1,)], "events": [()], "create_tasks": [([TaskNew(title="x")],)],
    "tasks": [()], "task": [(12,)], "why": [(12,)], "attempts": [(12,)], "claim": [(), (12,)], "claim_several": [(2,)],
    "heartbeat": [(CLAIM,)], "heartbeat_all": [([CLAIM],)], "complete": [(CLAIM,)], "fail": [(CLAIM, "x")],
    "release": [(CLAIM,)], "handoff": [{"claim": CLAIM, "note": "x", "to": "ada"}], "wait_for_children": [(CLAIM,)],
    "accept": [(CLAIM,)], "reject": [(CLAIM, "x")], "ask": [(CLAIM, "x")], "create_attempt_token": [(CLAIM,)],
    "answer": [(12, "x")], "update_task": [(12, TaskEdit())], "add_dependency": [(12, 4)],
    "remove_dependency": [(12, 4)], "cancel": [(12,)], "retry": [(12,)], "block": [(12, "x")], "resume_task": [(12,)],
    "steps": [(12,)], "usage": [()], "task_usage": [(12,)], "set_budget": [(BudgetNew(),)],
    "set_task_budget": [(12, BudgetNew())], "feed": [()], "join": [()], "work": [()], "create_link": [()],
    "export_squad": [()], "import_squad": [(Path(__file__),)],
}  # fmt: skip


@contextlib.asynccontextmanager
async def listening(asked: set[str]) -> AsyncIterator[str]:
    """A server that refuses everything, and writes down what it was asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, address, _ = head.split(" ", 2)
            asked.add(f"{method} {address.partition('?')[0]}")
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def routes(calls: dict[str, Any]) -> set[str]:
    """The routes of the document that those calls ask for."""
    asked: set[str] = set()
    async with listening(asked) as url, AsyncClient(url, "sqd_x", squad="web") as client:
        for name, ways in calls.items():
            for given in ways:
                method = getattr(client, name)
                called = method(**given) if isinstance(given, dict) else method(*given)
                with contextlib.suppress(SquadError):
                    await (anext(called) if inspect.isasyncgen(called) else called)
    document = {
        f"{method.upper()} {path}": re.compile(re.sub(r"{\w+}", "[^/]+", path))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    return {
        route
        for route, pattern in document.items()
        if any(route.split()[0] == each.split()[0] and pattern.fullmatch(each.split()[1]) for each in asked)
    }


def document() -> set[str]:
    return {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}


def test_every_method_is_called_here() -> None:
    methods = {
        name
        for name, each in inspect.getmembers(AsyncClient)
        if not name.startswith("_") and (inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each))
    }
    assert methods == CALLS.keys()


async def test_every_route_has_a_method() -> None:
    assert document() - await routes(CALLS) == WITHOUT.keys()


async def test_a_route_without_a_method_is_found() -> None:
    found = await routes({name: ways for name, ways in CALLS.items() if name not in {"retry", "work"}})
    assert document() - found - WITHOUT.keys() == {"POST /squads/{squad}/tasks/{number}/retry"}
