"""How hosted members are run: what may be said of it, to whom, and what the log tells."""

from typing import Any

import pytest
from pydantic import ValidationError

from agentsquad.schemas import limits
from agentsquad.schemas.hosting import Hosting, ModelSettings, ToolServer
from agentsquad.schemas.members import Member, MemberEdit, MemberNew
from agentsquad.schemas.squads import Squad, SquadNew
from backend.core.errors import Forbidden, Invalid, NotFound
from backend.operations import members, squads
from backend.operations.access import MemberRef, SquadRef
from tests.operations.scene import Scene

LOCAL = "http://localhost:11434/v1"
FULL = Hosting(
    model="ollama:größe/x 🦀",
    base_url=LOCAL,
    settings=ModelSettings(temperature=0, top_p=1, max_tokens=100, timeout=600, window=8_192),
    tools=[ToolServer(name="files", url="https://mcp.example.com/mcp")],
)
WHOLE: dict[str, Any] = {
    "model": "default", "base_url": None, "tools": [],
    "settings": {"temperature": None, "top_p": None, "max_tokens": None, "timeout": 120, "window": None},
}  # fmt: skip


async def one(scene: Scene, name: str) -> Member:
    return Member.model_validate(await scene.read(members.one, scene.ada, scene.squad, MemberRef(None, name)))


def field(error: Invalid) -> str:
    errors: Any = error.fields["errors"]
    return str(errors[0]["field"])


async def add(scene: Scene, hosting: Hosting | None) -> None:
    await scene.do(members.add, scene.owner, scene.squad, MemberNew(name="hal", kind="hosted", hosting=hosting))


async def update(scene: Scene, **edit: Any) -> None:
    await scene.do(members.update, scene.owner, scene.squad, "hal", MemberEdit(**edit))


@pytest.mark.parametrize("hosting", [None, Hosting(), FULL])
async def test_it_is_kept_as_it_was_said(scene: Scene, hosting: Hosting | None) -> None:
    await add(scene, hosting)
    assert (await one(scene, "hal")).hosting == hosting
    assert (await scene.log())[-1]["data"]["hosting"] == (hosting and hosting.model_dump())
    assert await scene.disagreements() == []


async def test_what_was_not_said_is_kept_whole(scene: Scene) -> None:
    await add(scene, Hosting())
    await update(scene, hosting=Hosting(model="x:y"))
    assert (await scene.log())[-1]["data"]["hosting"] == WHOLE | {"model": "x:y"}
    row = await scene.read(members.one, scene.owner, scene.squad, MemberRef(None, "hal"))
    assert row is not None
    assert row["hosting"] == WHOLE | {"model": "x:y"}


async def test_it_stays_where_it_is_not_given_and_null_takes_it_away(scene: Scene) -> None:
    await add(scene, FULL)
    await update(scene, role="writer")
    assert "hosting" not in (await scene.log())[-1]["data"]
    assert (await one(scene, "hal")).hosting == FULL
    await update(scene, hosting=None)
    assert (await scene.log())[-1]["data"]["hosting"] is None
    assert (await one(scene, "hal")).hosting is None
    await update(scene, hosting=Hosting())
    assert (await one(scene, "hal")).hosting == Hosting()
    assert await scene.disagreements() == []


@pytest.mark.parametrize("new", [{}, {"kind": "person", "user": "eve@example.com"}])
async def test_nobody_else_is_run(scene: Scene, new: dict[str, Any]) -> None:
    before = await scene.tables(), await scene.log()
    with pytest.raises(Invalid, match="runs hosted members only") as added:
        await scene.do(members.add, scene.owner, scene.squad, MemberNew(name="new", hosting=FULL, **new))
    with pytest.raises(Invalid, match="runs hosted members only") as updated:
        await scene.do(members.update, scene.owner, scene.squad, "ada", MemberEdit(role="x", hosting=FULL))
    assert [field(error.value) for error in (added, updated)] == ["body.hosting"] * 2
    assert (await scene.tables(), await scene.log()) == before
    await scene.do(members.update, scene.owner, scene.squad, "ada", MemberEdit(hosting=None))  # it is so already


async def test_only_the_owner_says_how(scene: Scene) -> None:
    await add(scene, FULL)
    log = await scene.log()
    for actor, error in ((scene.ada, Forbidden), (scene.paul, Forbidden), (scene.eve, NotFound)):
        with pytest.raises(error):
            await scene.do(members.update, actor, scene.squad, "hal", MemberEdit(hosting=None))
    assert await scene.log() == log


async def test_a_templates_hosted_members_are_run_as_the_squad_says(scene: Scene) -> None:
    new = SquadNew(name="new", template="software_dev", hosting=FULL)
    scene.squad = SquadRef(await scene.do(squads.create, scene.owner, new), None)
    made = Squad.model_validate(await scene.read(squads.get, scene.owner, scene.squad))
    assert {member.name: member.hosting for member in made.members} == {
        member.name: FULL if member.kind == "hosted" else None for member in made.members
    }
    assert sum(member.hosting == FULL for member in made.members) == 6
    assert await scene.disagreements() == []


async def test_the_next_squad_of_the_template_is_run_by_nobody(scene: Scene) -> None:
    for name, hosting in (("one", FULL), ("two", None)):
        made = await scene.do(squads.create, scene.owner, SquadNew(name=name, template="writing", hosting=hosting))
    found = Squad.model_validate(await scene.read(squads.get, scene.owner, SquadRef(made, None)))
    assert {member.hosting for member in found.members} == {None}


async def test_without_hosted_members_a_squad_has_nobody_to_run(scene: Scene) -> None:
    with pytest.raises(Invalid, match="name a template that has some") as error:
        await scene.do(squads.create, scene.eve, SquadNew(name="new", hosting=Hosting()))
    assert field(error.value) == "body.hosting"
    assert await scene.read(squads.get, scene.eve, SquadRef(None, "new")) is None


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost", "https://api.example.com/v1", LOCAL, "http://[::1]:8080/a/b", "http://10.0.0.7:80/",
        "https://größe.example/ü/@x:y", "http://h/" + "x" * (limits.ADDRESS - len("http://h/")),
    ],
)  # fmt: skip
def test_an_address_is_where_a_server_is(address: str) -> None:
    assert Hosting(base_url=address).base_url == address
    assert ToolServer(name="t", url=address).url == address


@pytest.mark.parametrize(
    "address",
    [
        "", "localhost", "ftp://localhost", "file:///etc/passwd", "http://", "http://:80", "http:///v1", "HTTP://h",
        "http://me:secret@localhost/v1", "http://token@localhost", "http://a@b@c", "http://h/v1?key=secret",
        "http://h/v1#x", "http://h\\@evil/", "http://a b/", "http://h/a b", "http://h/\n", "http://h\x00", "http://h/\x00",
        "http://h/\ud800", "http://h:", "http://h:x", "http://h:1234567", "http://[::1", "http://::1/", " http://h",
        "http://h/" + "x" * limits.ADDRESS,
    ],
)  # fmt: skip
def test_an_address_holds_no_secret_and_nothing_odd(address: str) -> None:
    for kind, given in ((Hosting, {"base_url": address}), (ToolServer, {"name": "t", "url": address})):
        with pytest.raises(ValidationError):
            kind.model_validate(given)


@pytest.mark.parametrize(
    "given",
    [
        {"model": ""}, {"model": "x" * 201}, {"model": "a\x00b"}, {"model": "\ud800"}, {"model": None}, {"model": 7},
        {"api_key": "secret"}, {"settings": {"headers": {}}}, {"settings": None}, {"tools": None},
        {"settings": {"temperature": -0.1}}, {"settings": {"temperature": 2.1}}, {"settings": {"temperature": "1"}},
        {"settings": {"temperature": float("nan")}}, {"settings": {"temperature": float("inf")}},
        {"settings": {"top_p": 0}}, {"settings": {"top_p": 1.1}}, {"settings": {"max_tokens": 0}},
        {"settings": {"max_tokens": 1_000_001}}, {"settings": {"max_tokens": 1.5}}, {"settings": {"timeout": 0}},
        {"settings": {"timeout": 601}}, {"settings": {"timeout": None}}, {"settings": {"window": 999}},
        {"settings": {"window": 10_000_001}}, {"tools": [{"name": "t"}]}, {"tools": [{"name": "a b", "url": LOCAL}]},
        {"tools": [{"name": "t", "url": LOCAL, "key": "secret"}]}, {"tools": [{"name": "t", "url": LOCAL}] * 11},
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Hosting.model_validate(given)


@pytest.mark.parametrize("model", ["openai:gpt-5.2", "x" * 200, "bedrock:arn:aws:a/b", "no provider", "🦀"])
def test_any_model_may_be_named(model: str) -> None:
    assert Hosting(model=model).model == model
