"""Nothing of a squad comes out to those who are no part of it, whatever they ask."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from backend.app import create_app
from backend.core.errors import Forbidden
from backend.core.settings import Settings
from backend.operations import keys
from tests.interfaces.http import sealing
from tests.interfaces.http.conftest import Site, made, opened, squad, tasks
from tests.interfaces.http.sealing import Caller, Place
from tests.operations import journal

CANARY = "canary"
TEXTS = (
    "-squad", "-member", "-gone", "-role", "-good", "-revoked", " instructions", " task", " text", " reviewed",
    " blocked", " result", " reason", " message", " step",
)  # fmt: skip
TO_TOKENS = {  # what is open to a member's token, of all that belongs to no squad
    "GET /health": "open to all",
    "GET /ready": "open to all",
    "GET /templates": "the same for everybody",
    "GET /squads": "the one that it is part of",
    "GET /keys": "those of one's account; here none",
    "GET /users/{user_id}/keys": "those of an account; here none",
    "GET /users": "oneself, where one is an account; here nobody",
    "GET /users/{user_id}": "the people of its squad",
    "GET /sync-users/{user_id}": "the people of its squad",
}


@dataclass
class Full:
    """A squad that has something of everything, its owner, and the keys that once opened it."""

    place: Place
    owner: httpx.AsyncClient
    keys: dict[str, str]


async def fill(site: Site, owner: httpx.AsyncClient, word: str, amount: int) -> Full:
    """Make a squad with that many tasks; everything in it has the word in it."""
    web = await squad(owner, f"{word}-squad", lease_seconds=14_400)
    secrets: dict[str, str] = {}
    tokens = {}
    for name in ("member", "gone"):
        new = {"name": f"{word}-{name}", "role": f"{word}-role", "instructions": f"{word} instructions"}
        made(await owner.post(f"{web}/members", json=new))
        for use in ("good", "revoked"):
            token = made(await owner.post(f"{web}/members/{word}-{name}/tokens", json={"name": f"{word}-{use}"}))
            tokens[f"{name} {use}"] = token["id"]
            secrets[f"{name} {use}"] = token["secret"]
        await owner.delete(f"{web}/members/{word}-{name}/tokens/{tokens[f'{name} revoked']}")
    await tasks(owner, web, *(f"{word} task {number}" for number in range(amount)), description=f"{word} text")
    await tasks(owner, web, f"{word} reviewed", input={word: word}, review="")
    await tasks(owner, web, f"{word} blocked", depends_on=[1], role=f"{word}-role", assignee=f"{word}-member")
    reviewed = amount + 1
    for number in (2, 3, amount, reviewed):
        speaker = {"Squad-Member": f"{word}-member"}
        await owner.post(f"{web}/tasks/{number}/claim", headers=speaker)
        held = {"claim": f"{number}/1"}
        token = made(await owner.post(f"{web}/tasks/{number}/token", json=held, headers=speaker))
        secrets["attempt live" if number == amount else "attempt ended"] = token["secret"]
        if number != amount:
            given = {**held, "result": f"{word} result"}
            await owner.post(f"{web}/tasks/{number}/complete", json=given, headers=speaker)
    await owner.post(f"{web}/tasks/4/block", json={"reason": f"{word} reason"})
    await owner.post(f"{web}/tasks/5/cancel", json={"reason": f"{word} reason"})
    sent = {}
    for to in ({"to": f"{word}-member"}, {"task": 1}, {"all": True}):
        sent = made(await owner.post(f"{web}/messages", json={"body": f"{word} message", **to}))
    await owner.post(f"{web}/members/{word}-gone/retire")
    whole = (await owner.get(web)).json()
    members = {member["name"]: member["id"] for member in (await owner.get(f"{web}/members")).json()["items"]}
    member = UUID(members[f"{word}-member"])
    await journal.keep(site.app.state.database, UUID(whole["id"]), member, f"{amount}/1", f"{word} step")
    await owner.put(f"{web}/budget", json={"cost": 1_000})
    me = (await owner.get("/users/me")).json()
    key = (await owner.get("/keys")).json()["items"][0]["id"]
    ids = {whole["id"], me["email"], key, *members.values(), *tokens.values(), *secrets.values()}
    place = Place(
        whole["id"], whole["name"], members[f"{word}-member"], f"{word}-member", tokens["member good"], amount, 1,
        sent["position"], me["id"], key, frozenset({*ids, *(word + text for text in TEXTS)}),
    )  # fmt: skip
    return Full(place, owner, secrets)


@pytest.fixture
async def canary(site: Site, admin: httpx.AsyncClient) -> Full:
    return await fill(site, await site.newcomer(admin, "its-owner@example.com"), CANARY, 12)


@pytest.fixture
async def theirs(site: Site, admin: httpx.AsyncClient) -> Full:
    """Another account's squad, as full as the first one."""
    return await fill(site, await site.newcomer(admin, "bob@example.com"), "other", 6)


def key_of(client: httpx.AsyncClient) -> str:
    return client.headers["authorization"].removeprefix("Bearer ")


async def callers(site: Site, admin: httpx.AsyncClient, canary: Full, theirs: Full) -> list[Caller]:
    """All who are no part of the squad, in every way that one can be none."""
    once = await site.newcomer(admin, "once@example.com")
    web = f"/squads/{canary.place.squad}"
    person = {"name": f"{CANARY}-person", "kind": "person", "user": "once@example.com"}
    made(await canary.owner.post(f"{web}/members", json=person))
    assert (await canary.owner.post(f"{web}/members/{CANARY}-person/retire")).status_code == 200
    bob = key_of(theirs.owner)
    speaker = {"Squad-Member": canary.place.member_name}
    return [
        Caller("nobody", None, status=401),
        Caller("an unknown key", keys.new_secret(keys.USER), status=401),
        Caller("an unknown token", keys.new_secret(keys.MEMBER), status=401),
        Caller("a revoked token", canary.keys["member revoked"], status=401),
        Caller("a removed member", canary.keys["gone good"], status=401),
        Caller("a token of an attempt that has ended", canary.keys["attempt ended"], status=401),
        Caller("a person who was removed", key_of(once)),
        Caller("an administrator", key_of(admin)),
        Caller("a foreign user", bob),
        Caller("a foreign user who names a member", bob, speaker),
        Caller("a foreign token", theirs.keys["member good"]),
        Caller("a foreign token that names a member", theirs.keys["member good"], speaker),
        Caller("a foreign attempt's token", theirs.keys["attempt live"]),
    ]


async def findings(site: Site, everybody: list[Caller], canary: Full) -> list[str]:
    """All that is wrong, with the squad named by its id and by its name."""
    found = []
    before = sealing.snapshot(site.app.state.database.url, canary.place.squad)
    for by_name in (False, True):
        place = replace(canary.place, squad=canary.place.name) if by_name else canary.place
        nowhere = sealing.nowhere_like(canary.place, by_name=by_name)
        for caller in everybody:
            of_accounts = caller.who == "an administrator"  # it sees accounts, and their keys' ids
            account = {"its-owner@example.com", place.key_id} if of_accounts else set()
            found += await sealing.leaks(site.app, caller, replace(place, secrets=place.secrets - account), nowhere)
    after = sealing.snapshot(site.app.state.database.url, canary.place.squad)
    return found + [f"{table} changed" for table, rows in after.items() if rows != before[table]]


async def test_nothing_comes_out_and_nothing_changes(
    site: Site, admin: httpx.AsyncClient, canary: Full, theirs: Full
) -> None:
    everybody = await callers(site, admin, canary, theirs)
    assert sealing.probes(site.app)[1] == []
    assert await findings(site, everybody, canary) == []


async def test_another_squads_ids_open_nothing_inside_ones_own(site: Site, canary: Full, theirs: Full) -> None:
    before = sealing.snapshot(site.app.state.database.url, canary.place.squad)
    inside = replace(canary.place, squad=theirs.place.squad)
    for place in (inside, replace(inside, member=canary.place.member_name)):
        for caller in (
            Caller("a foreign owner", key_of(theirs.owner)),
            Caller("a foreign token", theirs.keys["member good"], status=403),  # it manages no members
            Caller("a foreign attempt's token", theirs.keys["attempt live"], status=403),
        ):
            assert await sealing.mixed(site.app, caller, place) == []
    assert sealing.snapshot(site.app.state.database.url, canary.place.squad) == before


@pytest.mark.parametrize("kind", ["member good", "attempt live"])
async def test_a_token_is_no_account(site: Site, canary: Full, kind: str) -> None:
    """Where an account is needed, a member's token gets nothing of one, its squad's owner's neither."""
    token = Caller("a token", canary.keys[kind])
    account = replace(canary.place, secrets=frozenset({"its-owner@example.com", canary.place.key_id}))
    for probe in sealing.probes(site.app)[0]:
        if not probe.in_squad and probe.route not in TO_TOKENS:
            answer, sent = await probe.ask(site.app, token, account)
            assert answer.status in (401, 403, 404), (probe.route, answer)
            assert not list(sealing._told(answer, sent, account)), (probe.route, answer)


async def test_every_probe_is_a_good_request(site: Site, theirs: Full) -> None:
    """Its own owner is answered, so what the others get is for who they are and not for what they send."""
    owner = Caller("its owner", key_of(theirs.owner))
    last = ("retire", "archive", "pause", "cancel")
    order = sorted(sealing.probes(site.app)[0], key=lambda probe: (probe.route.endswith(last), "DELETE" in probe.route))
    for probe in order:
        if probe.in_squad:
            answer, _ = await probe.ask(site.app, owner, theirs.place)
            assert answer.status in (200, 201, 204, 403, 409), (probe.route, answer)


def leaky(settings: Settings) -> FastAPI:
    """The application with some routes that shouldn't be."""
    app = create_app(settings)

    @app.get("/squads/{squad}/leak")
    async def leak(squad: str) -> Any:
        async with app.state.database.AsyncSessionLocal() as session:
            return (await session.scalars(text("SELECT title FROM tasks"))).all()

    @app.get("/squads/{squad}/members/{member}/spy")
    async def spy(squad: str, member: str) -> Any:
        async with app.state.database.AsyncSessionLocal() as session:
            query = text("SELECT instructions FROM members WHERE CAST(id AS text) = :id")
            return (await session.scalars(query, {"id": member})).all()

    @app.get("/squads/{squad}/closed")
    async def closed(squad: str) -> None:
        raise Forbidden("No.")

    @app.post("/squads/{squad}/poke")
    async def poke(squad: str) -> None:
        async with app.state.database.AsyncSessionLocal() as session, session.begin():
            await session.execute(text("UPDATE tasks SET priority = 4"))

    @app.get("/squads/{squad}/of/{stranger}")
    async def unknown(squad: str, stranger: UUID) -> None:
        """What nobody knows how to ask."""

    @app.get("/everything")
    async def everything() -> None:
        """What stands outside of squads, and nobody says why."""

    return app


async def test_leaks_are_found(settings: Settings) -> None:
    """The control: the same checker, an application that isn't sealed."""
    async with opened(settings, leaky(settings)) as site:
        admin = await site.caller(site.key)
        canary = await fill(site, await site.newcomer(admin, "its-owner@example.com"), CANARY, 12)
        bob = await site.newcomer(admin, "bob@example.com")
        assert [finding.partition(":")[0] for finding in sealing.probes(site.app)[1]] == [
            "GET /squads/{squad}/of/{stranger}", "GET /everything",
        ]  # fmt: skip
        found = await findings(site, [Caller("a foreign user", key_of(bob))], canary)
        assert set(found) == {
            "a foreign user: GET /squads/{squad}/leak: tells canary blocked",
            "a foreign user: GET /squads/{squad}/leak: tells canary reviewed",
            "a foreign user: GET /squads/{squad}/leak: tells canary task",
            "a foreign user: GET /squads/{squad}/leak: 200",
            "a foreign user: GET /squads/{squad}/members/{member}/spy: tells canary instructions",
            "a foreign user: GET /squads/{squad}/members/{member}/spy: 200",
            "a foreign user: GET /squads/{squad}/closed: 403",
            "a foreign user: POST /squads/{squad}/poke: 200",
            "tasks changed",
        }
        await squad(bob, "bobs")
        inside = replace(canary.place, squad="bobs")
        assert await sealing.mixed(site.app, Caller("a foreign owner", key_of(bob)), inside) == [
            "a foreign owner: GET /squads/{squad}/members/{member}/spy: tells canary instructions",
            'a foreign owner: GET /squads/{squad}/members/{member}/spy: 200 ["canary instructions"]',
        ]
