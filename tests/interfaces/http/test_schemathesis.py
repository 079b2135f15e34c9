"""Schemathesis over the OpenAPI document, all checks and phases, while two users must not see each other.

One user's calls are recorded on their way in, the other's answers are searched for what is the first one's,
and at the end every call that succeeded is made again by the other.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import httpx
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from tests.conftest import SCALE
from tests.interfaces.http.conftest import Site, external, listening, made, refused, squad, tasks

CANARY = "canary-of-the-owner"
CONFIGURATION = """
base-url = "{url}"
auth.wfc = {{ path = "{folder}/users.json", user = "owner", peers = ["owner", "bob"] }}
cache.enabled = false
phases.stateful.max-steps = 6

# A stream has no end; tests/interfaces/http/test_stream.py is about it.
[[operations]]
include-name = "GET /squads/{{squad}}/events/stream"
enabled = false

# It takes lines and no JSON; tests/interfaces/http/test_exports.py is about it.
[[operations]]
include-name = "POST /squads/import"
enabled = false

# Nobody waits here for something to do.
[[operations]]
include-name = "POST /squads/{{squad}}/tasks/claim"
parameters = {{ "query.wait" = 0 }}

# What these refer to has to be there: accounts, templates, members, tasks, claims, kinds. A schema can't say so.
[[operations]]
include-name = [{referring}]
checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422]
"""
# What is one's own has no name in the address: asking as somebody else asks for something else.
OWN = re.compile(r"/(users|users/me|keys|links|squads|templates|health|ready|openapi\.json|docs.*)")
REFERRING = (
    "POST /squads",
    "PATCH /users/{user_id}",
    "GET /squads/{squad}/events",
    *(
        f"{method} /squads/{{squad}}{path}"
        for method, paths in {
            "PATCH": ("", "/members/{member}", "/tasks/{number}"),
            "POST": (
                "/pause", "/members", "/members/{member}/pause", "/members/{member}/tokens", "/members/{member}/read",
                "/members/{member}/ack", "/messages", "/tasks", "/tasks/claim", "/tasks/heartbeat",
                *(f"/tasks/{{number}}/{verb}" for verb in (
                    "claim", "heartbeat", "token", "complete", "fail", "release", "handoff", "wait", "accept", "reject",
                    "ask", "answer", "cancel", "block",
                )),
            ),
        }.items()
        for path in paths
    ),
)  # fmt: skip


@dataclass
class Call:
    """A request and its answer."""

    key: str
    method: str
    path: str
    query: str
    content_type: str
    squad_member: str | None
    body: bytes = b""
    status: int = 0
    answer: bytes = b""


@dataclass
class Recorder:
    """The application, and what was said to it. A key that is in use can't be revoked through it,
    nor its account deactivated."""

    app: FastAPI
    in_use: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        call = Call(
            headers.get("authorization", ""),
            scope["method"],
            scope["raw_path"].decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            headers.get("content-type", ""),
            headers.get("squad-member"),
        )
        self.calls.append(call)
        # A generator sends few keys with many requests, which would all be mismatches: here each is a new one.
        fresh = str(len(self.calls)).encode()
        scope = {**scope, "headers": [(name, self._key(name, value, fresh)) for name, value in scope["headers"]]}
        room, _, last = call.path.rpartition("/")
        if call.method in ("DELETE", "PATCH") and last.lower() in self.in_use:
            scope = {**scope, "path": f"{room}/in-use", "raw_path": f"{room}/in-use".encode()}

        async def heard() -> Message:
            message = await receive()
            call.body += message.get("body", b"")
            return message

        async def said(message: Message) -> None:
            call.status = message.get("status", call.status)
            call.answer += message.get("body", b"")
            await send(message)

        await self.app(scope, heard, said)

    @staticmethod
    def _key(name: bytes, value: bytes, fresh: bytes) -> bytes:
        return fresh if name == b"idempotency-key" and 1 <= len(value) <= 255 else value


def leaks(calls: Iterable[Call], key: str, secrets: set[str]) -> list[Call]:
    """The answers to a key in which something stands that is not for it, unless it brought it along."""
    found = []
    brought = ""
    for call in calls:
        if call.key != key:
            continue
        brought += call.body.decode(errors="replace")
        text = call.answer.decode(errors="replace")
        if any(secret in text and secret not in brought for secret in secrets):
            found.append(call)
    return found


async def opened_to(client: httpx.AsyncClient, calls: Iterable[Call]) -> list[Call]:
    """Those calls, successful ones of somebody else, that succeed for this one too."""
    found = []
    for call in calls:
        headers = {"content-type": call.content_type} if call.content_type else {}
        if call.squad_member is not None:
            headers["squad-member"] = call.squad_member
        answer = await client.request(call.method, f"{call.path}?{call.query}", content=call.body, headers=headers)
        if answer.status_code not in (403, 404):
            found.append(call)
    return found


async def fuzz(url: str, folder: Path, users: dict[str, httpx.AsyncClient]) -> str:
    """Run Schemathesis; its report if it found something."""
    auth = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": user.headers["authorization"]}]}
        for name, user in users.items()
    ]
    (folder / "users.json").write_text(json.dumps({"auth": auth}), encoding="utf-8")
    configuration = folder / "schemathesis.toml"
    configuration.write_text(
        CONFIGURATION.format(url=url, folder=folder, referring=json.dumps(REFERRING)[1:-1]), encoding="utf-8"
    )
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run", "--no-color"]
    command += ["--max-examples", str(7 * SCALE), "--continue-on-failure", f"{url}/openapi.json"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    report, _ = await process.communicate()
    assert b"Stateful" in report, report.decode()
    return report.decode() if process.returncode else ""


async def test_the_document_is_true_and_users_see_nothing_of_each_other(
    site: Site, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    bob = await site.newcomer(admin, "bob@example.com")
    recorder = Recorder(site.app)
    async with listening(recorder) as url:
        owner = await site.caller(site.key, url)
        web = await squad(owner, CANARY)
        tess = await external(site, owner, web, "canary-member", instructions=CANARY)
        token = tess.headers["authorization"].removeprefix("Bearer ")
        made(await owner.post("/keys", json={"name": CANARY}))
        made(await owner.post("/users", json={"email": f"{CANARY}@example.com"}))
        await tasks(owner, web, CANARY, description=CANARY, input={CANARY: CANARY})
        await owner.post(f"{web}/tasks/claim")
        await squad(bob, "bobs")
        for user in (owner, bob):
            recorder.in_use |= {key["id"] for key in (await user.get("/keys")).json()["items"]}
            recorder.in_use.add((await user.get("/users/me")).json()["id"])

        assert await fuzz(url, tmp_path, {"owner": admin, "bob": bob}) == ""

        served = [call for call in recorder.calls if call.status]
        assert len(served) > 500
        assert {call.status for call in served} <= {200, 201, 204, 400, 401, 403, 404, 405, 409, 422}

        ids = (await owner.get(web)).json()
        secrets = {CANARY, "owner@localhost", token, ids["id"], ids["owner"]["id"]}
        theirs = owner.headers["authorization"]
        good = [call for call in served if call.key == theirs and call.status < 300 and not OWN.fullmatch(call.path)]
        assert len({(call.method, call.path) for call in good}) > 20
        his_id = (await bob.get("/users/me")).json()["id"]
        stranger = await site.caller(bob.headers["authorization"].removeprefix("Bearer "), url)
        for path in ("", "/board", "/tasks", "/tasks/1", "/members", "/events"):
            refused(await stranger.get(web + path), 404, "not_found")
            refused(await stranger.get(f"/squads/{ids['id']}{path}"), 404, "not_found")
        # Both may have made a squad of the same name, and each then asks for its own.
        his = {his_id, *(squad["name"] for squad in (await bob.get("/squads?limit=200")).json()["items"])}
        foreign = [call for call in good if not his & set(unquote(call.path).split("/"))]
        assert len(foreign) > 20
        assert await opened_to(stranger, foreign) == []
        for path in ("/users", "/users/me", "/keys", "/squads", "/squads/bobs/board", "/squads/bobs/events"):
            assert (await stranger.get(path)).status_code == 200
        assert leaks(recorder.calls, bob.headers["authorization"], secrets) == []

        # Both checkers find it where it is.
        assert leaks(recorder.calls, theirs, secrets)
        assert await opened_to(owner, [call for call in good if call.method == "GET"])
