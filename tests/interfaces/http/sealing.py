"""A probe of everything that an application's OpenAPI document names: what comes out of a squad that isn't one's own.

Nothing is left out: an address or a body that the probe can't fill is a finding of its own.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg2
from fastapi import FastAPI
from psycopg2 import sql
from starlette.types import Message

ENDLESS = "GET /squads/{squad}/events/stream"
OPEN = {
    "GET /health": "says only whether the process lives",
    "GET /ready": "says only whether the database answers",
    "GET /templates": "the same for everybody",
    "GET /squads": "a list of one's own",
    "POST /squads": "makes one's own",
    "POST /squads/import": "makes one's own",
    "GET /keys": "a list of one's own",
    "POST /keys": "makes one's own",
    "POST /links": "logs oneself in",
    "DELETE /keys/{key_id}": "names an account's key; no squad",
    "GET /users": "accounts; for administrators",
    "POST /users": "accounts; for administrators",
    "GET /users/me": "oneself",
    "GET /users/{user_id}": "an account; no squad",
    "PATCH /users/{user_id}": "an account; no squad",
    "GET /sync-users/{user_id}": "an account; no squad",
    "GET /users/{user_id}/keys": "an account's; no squad",
    "POST /users/{user_id}/keys": "an account's; no squad",
}
REFERRING = ("TasksNew", "MessageNew", "HeartbeatsNew")  # bodies that name tasks or members of their squad

# What may be answered to another squad's ids: each claim gets an answer of its own; marks are one's own to set,
# whoever is named.
ALLOWED = {"/tasks/heartbeat": (200,), "/members/{member}/read": (403,), "/members/{member}/ack": (403,)}


@dataclass(frozen=True)
class Place:
    """What a squad has, by the names that addresses give it; and all that nobody else may see."""

    squad: str
    name: str
    member: str
    member_name: str
    token_id: str
    number: int
    other: int
    position: int
    user_id: str
    key_id: str
    secrets: frozenset[str] = frozenset()

    def bodies(self) -> dict[str, Any]:
        """A good body of every schema, full of references to this place."""
        claim = {"claim": f"{self.number}/1"}
        return {
            "UserNew": {"email": "probe@example.com"},
            "UserEdit": {"name": "probe"},
            "KeyNew": {"name": "probe"},
            "SquadNew": {"name": "probe"},
            "SquadEdit": {"lease_seconds": 7_200, "max_tries": 7},
            "PauseNew": {"now": True},
            "MemberNew": {"name": "probe"},
            "MemberEdit": {"role": "probe"},
            "TokenNew": {"name": "probe"},
            "ReadNew": {"up_to": self.position},
            "AcknowledgeNew": {"messages": [self.position]},
            "MessageNew": {"to": self.member_name, "body": "probe"},
            "TasksNew": {"tasks": [{"title": "probe", "assignee": self.member_name, "depends_on": [self.number]}]},
            "ClaimNew": {"limit": 20},
            "ClaimTaskNew": {"paths": ["probe/"], "lease_seconds": 60},
            "HeartbeatsNew": {"claims": [claim["claim"]]},
            "HeartbeatNew": claim,
            "TokenOfAttemptNew": claim,
            "CompleteNew": claim | {"result": "probe"},
            "FailNew": claim | {"reason": "probe", "retry": True},
            "ReleaseNew": claim,
            "HandoffNew": claim | {"to": self.member_name, "note": "probe"},
            "WaitNew": claim,
            "AcceptNew": claim,
            "RejectNew": claim | {"note": "probe"},
            "AskNew": claim | {"question": "probe"},
            "AnswerNew": {"answer": "probe"},
            "TaskEdit": {"title": "probe", "assignee": self.member_name},
            "CancelNew": {"cascade": True},
            "BlockNew": {"reason": "probe"},
            "BudgetNew": {"tokens": 7_777},
        }

    def parts(self) -> dict[str, str]:
        """A value for every part of an address."""
        names = ("squad", "member", "token_id", "number", "other", "user_id", "key_id")
        return {name: str(getattr(self, name)) for name in names}


@dataclass(frozen=True)
class Caller:
    """Somebody who has no part in a squad, and the headers it comes with."""

    who: str
    key: str | None
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 404  # what a squad is to it; in one's own, what is refused besides


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def text(self) -> str:
        """All of it."""
        return f"{self.status} {self.headers} {self.body}"


@dataclass(frozen=True)
class Probe:
    """A route of the document, and how it is asked."""

    route: str
    schema: str | None

    @property
    def in_squad(self) -> bool:
        """Whether its address names a squad."""
        return "{squad}" in self.route

    @property
    def refers(self) -> bool:
        """Whether it names something within a squad."""
        return bool(re.search(r"{(?!squad)", self.route)) or self.schema in REFERRING

    async def ask(self, app: FastAPI, caller: Caller, place: Place) -> tuple[Answer, str]:
        """The answer, and what was sent."""
        method, _, path = self.route.partition(" ")
        path = re.sub(r"{(\w+)}", lambda part: place.parts()[part[1]], path)
        body = b"" if self.schema is None else json.dumps(place.bodies()[self.schema]).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **caller.headers}
        if caller.key is not None:
            headers["authorization"] = f"Bearer {caller.key}"
        answer = await _call(app, method, path, headers, body, seconds=0.5 if self.route == ENDLESS else 60)
        return answer, f"{path} {body.decode()} {caller.headers}"


def probes(app: FastAPI) -> tuple[list[Probe], list[str]]:
    """All routes of the document, and those that can't be asked."""
    found, findings = [], []
    nowhere = Place(*[""] * 5, *[1] * 3, *[""] * 2)  # type: ignore[arg-type]
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            route = f"{method.upper()} {path}"
            schema = _schema(operation)
            parts = {each["name"] for each in operation.get("parameters", []) if each.get("required")}
            if not parts | set(re.findall(r"{(\w+)}", path)) <= nowhere.parts().keys():
                findings.append(f"{route}: no value for {sorted(parts - nowhere.parts().keys())}")
            elif schema is not None and schema not in nowhere.bodies():
                findings.append(f"{route}: no body {schema}")
            elif "{squad}" not in path and route not in OPEN:
                findings.append(f"{route}: of no squad, and nobody says why")
            else:
                found.append(Probe(route, schema))
    findings += [f"{route}: is no more" for route in OPEN if route not in {probe.route for probe in found}]
    return found, findings


async def leaks(app: FastAPI, caller: Caller, place: Place, nowhere: Place) -> list[str]:
    """What a squad tells a caller that has no part in it, or how it differs from one that isn't there."""
    findings = []
    for probe in probes(app)[0]:
        answer, sent = await probe.ask(app, caller, place)
        findings += [f"{caller.who}: {probe.route}: tells {secret}" for secret in _told(answer, sent, place)]
        if probe.in_squad:
            if answer.status != caller.status:
                findings.append(f"{caller.who}: {probe.route}: {answer.status}")
            if answer != (await probe.ask(app, caller, nowhere))[0]:
                findings.append(f"{caller.who}: {probe.route}: looks other than a squad that isn't there")
    return findings


async def mixed(app: FastAPI, caller: Caller, place: Place) -> list[str]:
    """What comes out when another squad's ids stand in addresses and bodies of one's own."""
    findings = []
    for probe in probes(app)[0]:
        if probe.in_squad and probe.refers:
            answer, sent = await probe.ask(app, caller, place)
            findings += [f"{caller.who}: {probe.route}: tells {secret}" for secret in _told(answer, sent, place)]
            if answer.status not in ALLOWED.get(probe.route.partition("{squad}")[2], (404, 422, caller.status)):
                findings.append(f"{caller.who}: {probe.route}: {answer.status} {answer.body}")
    return findings


def nowhere_like(place: Place, *, by_name: bool) -> Place:
    """The same requests, to a squad that there isn't."""
    return Place(**{**vars(place), "squad": "no-such-squad" if by_name else str(uuid4())})


def snapshot(url: str, squad: str) -> dict[str, str]:
    """All rows of a squad, table by table."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
            "AND (column_name = 'squad_id' OR (table_name, column_name) = ('squads', 'id'))"
        )
        rows = {}
        for table, column in cursor.fetchall():
            query = sql.SQL("SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM {} t WHERE {} = %s")
            cursor.execute(query.format(sql.Identifier(table), sql.Identifier(column)), (squad,))
            rows[str(table)] = str(cursor.fetchall()[0][0])
    return rows


def _schema(operation: Mapping[str, Any]) -> str | None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if content is None:
        return None
    given = next((one for one in content.get("anyOf", [content]) if "$ref" in one), {"$ref": json.dumps(content)})
    return str(given["$ref"]).rpartition("/")[2]


def _told(answer: Answer, sent: str, place: Place) -> Iterator[str]:
    """The secrets in an answer that its caller didn't bring along."""
    for secret in sorted(place.secrets):
        if secret in answer.text and secret not in sent:
            yield secret


async def _call(
    app: FastAPI, method: str, path: str, headers: Mapping[str, str], body: bytes, seconds: float
) -> Answer:
    status, text = 0, b""
    came: list[tuple[bytes, bytes]] = []
    waiting = [{"type": "http.request", "body": body}]

    async def receive() -> Message:
        if waiting:
            return waiting.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        nonlocal status, came, text
        status, came = message.get("status", status), message.get("headers", came)
        text += message.get("body", b"")

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("squads.test", 80),
    }  # fmt: skip
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await app(scope, receive, send)
    plain = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in came)
    return Answer(status, plain, text.decode())
