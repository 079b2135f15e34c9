"""Keys stay where they are used: each setting that may hold one has a canary, for which everything is searched."""

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg2
import pytest
from psycopg2 import sql
from sqlalchemy.engine import make_url

from agentsquad import local
from tests.campaigns.crew import eventually
from tests.conftest import new_database, on
from tests.runner.standin import Answer, Body, StandIn, results, told
from tests.runner.toolshed import Shed, opened

PATIENCE = 60.0
ENDLESS = "/squads/{squad}/events/stream"
CANARIES = {name: f"canary-{name}-5e1f" for name in ("model", "tools", "openai", "anthropic", "database")}
QUOTES = f"Incorrect API key provided: {', '.join(CANARIES.values())}."
# By the title of its task: what a squad goes through, and what becomes of it.
ENDS = {
    "success": "done",
    "500": "done",
    "garbage": "done",
    "tools away": "done",
    "401": "todo",
    "refused": "todo",
    "openai": "todo",
    "anthropic": "todo",
    "budget": "blocked",
}


def policy() -> Any:
    """What the model says, by the title of the task; what goes wrong goes wrong once."""
    wrong: dict[str, Answer] = {"500": {"status": 500, "message": QUOTES}, "garbage": {"garbage": True}}

    def answer(body: Body) -> Answer:
        title = told(body)["task"].get("title") if "messages" in body else "tools away"
        if title in wrong:
            return wrong.pop(title)
        if title in ("401", "openai", "anthropic") or "messages" not in body:
            return {"status": 401, "message": QUOTES}
        if title == "success" and results(body) == 0:
            names = ("shed__echo", "shed__fail", "send_message")
            given: list[dict[str, Any]] = [{"text": "Whose key?"}, {}, {"body": "on it"}]
            return {"calls": [{"name": name, "arguments": each} for name, each in zip(names, given, strict=True)]}
        return {"text": f"{title} is over"}

    return answer


@dataclass
class World:
    """A server with a canary in every setting, what it calls, and the owner's client."""

    model: StandIn
    provider: StandIn
    shed: Shed
    log: Path
    home: Path
    database: str
    api: httpx.AsyncClient
    canaries: dict[str, str]

    async def squad(self, title: str) -> None:
        """A squad that goes through something, with a member from outside besides."""
        hosting: dict[str, Any] = {"model": "small", "base_url": self.model.url}
        match title:
            case "success":
                hosting["tools"] = [{"name": "shed", "url": self.shed.url}]
            case "tools away":
                hosting["tools"] = [{"name": "gone", "url": f"{self.model.url}/mcp"}]
            case "refused":
                hosting["base_url"] = "http://10.1.2.3/v1"
            case "openai":
                hosting = {"model": "openai-chat:gpt-4o"}
            case "anthropic":
                hosting = {"model": "anthropic:claude-sonnet-4-5"}
            case _:
                pass
        web = f"/squads/{_name(title)}"
        await self.post("/squads", {"name": _name(title)})
        await self.post(f"{web}/members", {"name": "ada", "kind": "hosted", "role": "ada", "hosting": hosting})
        await self.post(f"{web}/members", {"name": "tom"})
        token = (await self.post(f"{web}/members/tom/tokens", {}))["secret"]
        self.canaries[f"a token in {title}"] = token
        if title == "budget":
            (await self.api.put(f"{web}/budget", json={"calls": 0})).raise_for_status()
        await self.post(f"{web}/tasks", {"tasks": [{"title": title, "role": "ada"}]})
        as_tom = {"authorization": f"Bearer {token}"}
        (await self.api.get(f"{web}/board", headers=as_tom)).raise_for_status()

        async def ended() -> bool:
            task = (await self.api.get(f"{web}/tasks/1")).json()
            return bool(task["status"] == ENDS[title] and task["attempt"] > 0)

        await eventually(ended, PATIENCE)

    async def post(self, path: str, body: object) -> dict[str, Any]:
        answer = await self.api.post(path, json=body)
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def asq(self, *arguments: str) -> str:
        """What a command says."""
        kept = {"PATH": os.environ["PATH"], "COLUMNS": "200", "SQUAD_HOME": str(self.home)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agentsquad", *arguments, env=kept, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        said = (await process.communicate())[0].decode()
        assert process.returncode == 0, said
        return said


@pytest.fixture
async def world(server_url: str, template: str, tmp_path: Path) -> AsyncIterator[World]:
    async with StandIn(policy()) as model, StandIn(policy()) as provider, opened(Shed(key=CANARIES["tools"])) as shed:
        with _account(server_url), new_database(server_url, template) as url:
            address = make_url(url).set(username="canary", password=CANARIES["database"])
            database = address.difference_update_query(["passfile"]).render_as_string(hide_password=False)
            keys = {urlsplit(model.url).netloc: CANARIES["model"], urlsplit(shed.url).netloc: CANARIES["tools"]}
            environment = {
                "PATH": os.environ["PATH"],
                "SQUAD_HOME": str(tmp_path / "home"),
                "SQUAD_LOG_LEVEL": "debug",
                "SQUAD_PRIVATE_NETWORKS": "127.0.0.1",
                "SQUAD_KEYS": " ".join(f"{place}={key}" for place, key in keys.items()),
                "DATABASE_URL": database,
                "OPENAI_API_KEY": CANARIES["openai"],
                "OPENAI_BASE_URL": provider.url,
                "ANTHROPIC_API_KEY": CANARIES["anthropic"],
                "ANTHROPIC_BASE_URL": provider.url.removesuffix("/v1"),
            }
            async with _serving(environment, tmp_path) as (api, key):
                canaries = CANARIES | {"the owner's": key}
                log, home = tmp_path / "log", tmp_path / "home"
                yield World(model, provider, shed, log, home, on(server_url, str(address.database)), api, canaries)


@contextlib.contextmanager
def _account(server_url: str) -> Iterator[None]:
    """An account of PostgreSQL's whose password is a canary."""
    with closing(psycopg2.connect(on(server_url, "postgres"))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("DROP ROLE IF EXISTS canary")
        cursor.execute("CREATE ROLE canary SUPERUSER LOGIN PASSWORD %s", (CANARIES["database"],))
        yield
        cursor.execute("DROP ROLE canary")


@asynccontextmanager
async def _serving(environment: dict[str, str], folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    home = folder / "home"
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agentsquad", "serve", "--port", "0", env=environment, stdout=log, stderr=log
        )
    try:

        async def ready() -> bool:
            assert process.returncode is None, (folder / "log").read_text()
            return bool(list(local.running(home)) and (home / local.KEY).exists())

        await eventually(ready, PATIENCE)
        key = (home / local.KEY).read_text().strip()
        ((_, url),) = local.running(home)
        async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=PATIENCE) as api:
            yield api, key
    finally:
        process.terminate()
        await process.wait()


def tables(world: World) -> dict[str, str]:
    """Every row of every table, as text; bytes are hexadecimal in it."""
    with closing(psycopg2.connect(world.database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        found = {}
        for (table,) in cursor.fetchall():
            cursor.execute(sql.SQL("SELECT string_agg(t::text, ' ') FROM {} t").format(sql.Identifier(table)))
            found[f"table {table}"] = str(cursor.fetchall()[0][0])
    return found


async def answers(world: World) -> dict[str, str]:
    """What every route says that is only read, of every squad and its members; the stream says what the events do."""
    paths = (await world.api.get("/openapi.json")).json()["paths"]
    me = (await world.api.get("/users/me")).json()["id"]
    found = {}
    for path in (path for path, methods in paths.items() if "get" in methods and path != ENDLESS):
        for squad in map(_name, ENDS):
            for member in ("owner", "ada", "tom"):
                filled = path.format(squad=squad, member=member, number=1, user_id=me)
                if filled not in found:
                    answer = await world.api.get(filled)
                    # Nobody but oneself reads an inbox.
                    assert answer.is_success or filled.endswith("/inbox"), (filled, answer.text)
                    found[filled] = answer.text
    return found


async def commands(world: World, *shown: str) -> dict[str, str]:
    """What commands say that show something, of what went well and of what was refused."""
    asked = [f"{each} --squad {squad}" for each in shown for squad in ("success", "s401")]
    said = await asyncio.gather(*[world.asq(*each.split()) for each in asked])
    return dict(zip(asked, said, strict=True))


def leaks(places: dict[str, str], canaries: dict[str, str]) -> set[str]:
    """Where which canary is found, as it is or as hexadecimal digits."""
    return {
        f"{name} in {place}"
        for place, said in places.items()
        for name, canary in canaries.items()
        if canary in said or canary.encode().hex() in said
    }


def requests(world: World) -> dict[str, str]:
    """What was sent, host by host; of the headers of each those that are no key for it."""
    own = {"model": ("model",), "provider": ("openai", "anthropic"), "shed": ("tools",)}
    sent: dict[str, list[Any]] = {
        "model": [[call.headers, call.body] for call in world.model.calls],
        "provider": [[call.headers, call.body] for call in world.provider.calls],
        "shed": list(world.shed.headers),
    }
    found = {}
    for host, each in sent.items():
        said = json.dumps(each)
        for name in own[host]:
            for header in (f'"authorization": "Bearer {CANARIES[name]}"', f'"x-api-key": "{CANARIES[name]}"'):
                said = said.replace(header, "")
        found[f"requests to the {host}"] = said
    return found


async def test_no_key_is_anywhere_but_where_it_is_used(world: World) -> None:
    await asyncio.gather(*[world.squad(title) for title in ENDS])
    keys = json.dumps([[call.headers for call in each.calls] for each in (world.model, world.provider)])
    keys += json.dumps(world.shed.headers)
    used = {name for name, canary in CANARIES.items() if canary in keys}
    assert used == {"model", "tools", "openai", "anthropic"}

    shown = ("log", "board", "inbox", "usage", "member show ada", "task show 1 --steps")
    places = tables(world) | await answers(world) | await commands(world, *shown) | requests(world)
    places["the log"] = world.log.read_text()
    assert len(places["the log"]) > 1_000
    assert leaks(places, world.canaries) == set()

    # What is found where somebody does write one down.
    token = world.canaries["a token in success"]
    await world.post("/squads/success/messages", {"all": True, "body": f"{CANARIES['model']} {token}"})
    places = tables(world) | await answers(world) | await commands(world, "log")
    found = leaks(places, world.canaries)
    for place in ("table messages", "table events", "/squads/success/messages", "log --squad success"):
        assert {f"model in {place}", f"a token in success in {place}"} <= found
    assert leaks({"bytes": CANARIES["tools"].encode().hex()}, world.canaries) == {"tools in bytes"}


def _name(title: str) -> str:
    """The name of the squad that goes through it."""
    return f"s{title}" if title.isdecimal() else title.replace(" ", "-")
