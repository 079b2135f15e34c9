"""What goes out comes in again, log and all."""

import hashlib
import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agentsquad.schemas.events.base import BaseEvent
from agentsquad.schemas.exports import (
    AttemptRow,
    BudgetRow,
    DependencyRow,
    Header,
    MemberRow,
    MessageRow,
    RecipientRow,
    StepRow,
    TaskRow,
)
from backend.core.database import Database
from backend.core.errors import Overloaded
from backend.core.settings import Settings
from backend.core.spools import Spools
from backend.models import Attempt, Base, Budget, Dependency, Event, Member, Message, Recipient, Squad, Step, Task
from backend.operations import exports, imports
from backend.operations.access import Actor, SquadRef
from backend.operations.imports.reading import Reading
from tests.campaigns import checkers
from tests.conftest import SCALE, new_database
from tests.operations.anything import play_on
from tests.operations.everything import fill
from tests.operations.repeating import repeated
from tests.operations.scene import Scene, account, play


async def scene_of(database: Database, act: Callable[[Scene], Any]) -> Scene:
    """A squad in which something was done, for good."""
    async with database.AsyncSessionLocal() as db, db.begin():
        scene = await play(db)
        await act(scene)
    return scene


async def out(database: Database, actor: Actor, squad: SquadRef, folder: Path) -> bytes:
    """A squad as a file."""
    async with Spools(folder).one() as spool:
        await database.transact(exports.squad, actor, squad, spool)
        return b"".join([chunk async for chunk in spool.chunks()])


async def back(database: Database, actor: Actor, name: str | None, file: bytes, folder: Path) -> dict[str, Any]:
    """A file as a squad."""
    async with Spools(folder).one() as spool:
        await spool.write(file)
        made: dict[str, Any] = json.loads(await database.transact(imports.squad, actor, name, spool))
        return made


def rows(file: bytes, kind: str) -> list[dict[str, Any]]:
    return [line["row"] for line in map(json.loads, file.splitlines()) if line["kind"] == kind]


def runs(member: dict[str, Any]) -> bool:
    """Whether the server would run it."""
    return bool(member["hosting"]) and not member["paused_at"] and not member["retired_at"]


def same_but_for_the_import(before: bytes, after: bytes) -> None:
    """The copy's file is the first one's, but for what the import changed and told."""
    last = len(rows(before, "event"))
    assert rows(after, "event")[:last] == rows(before, "event")
    told = rows(after, "event")[last:]
    freed = {event["task"] for event in told if event["task"]}
    stopped = [row["name"] for row in rows(before, "member") if runs(row)]
    assert [event["data"]["member"] for event in told if event["kind"] == "member.paused"] == sorted(stopped)
    assert [event["kind"] for event in told] == (
        ["squad.imported"] + ["member.paused"] * len(stopped) + ["task.released"] * len(freed)
    )
    for kind in ("dependency", "message", "recipient"):
        assert rows(after, kind) == rows(before, kind)
    for kind in ("task", "attempt"):
        assert [row for row in rows(after, kind) if row.get("number", row.get("task")) not in freed] == [
            row for row in rows(before, kind) if row.get("number", row.get("task")) not in freed
        ]
    open_steps = [row for row in rows(before, "step") if row["state"] == "started"]
    assert {row["task"] for row in open_steps} <= freed
    for old, new in zip(rows(before, "step"), rows(after, "step"), strict=True):
        ended = {"state": "unknown", "ended_at": new["ended_at"]} if old["state"] == "started" else {}
        assert new == old | ended
    spent = {row["task"]: row["calls"] for row in rows(before, "budget")}
    for row in rows(after, "budget"):
        if row["task"] is None:
            calls = [step for step in open_steps if step["kind"] in ("answer", "summary")]
            assert row["calls"] == spent[None] + len(calls)
    assert freed == {row["number"] for row in rows(before, "task") if row["holder"]}
    assert not [row for row in rows(after, "task") if row["holder"]]
    for old, new in zip(rows(before, "member"), rows(after, "member"), strict=True):
        if old["kind"] == "person" and not old["owner"]:
            old |= {"kind": "external", "email": None}
        if runs(old):
            assert new["paused_at"]
            old |= {"paused_at": new["paused_at"], "updated_at": new["updated_at"]}
        assert new == old | {"email": new["email"], "last_seen_at": new["last_seen_at"]}


@pytest.mark.parametrize("act", [fill, *(pytest.param(n, id=f"random {n}") for n in range(5 * SCALE))])
async def test_what_goes_out_comes_in_again(
    database: Database, tmp_path: Path, act: Any, server_url: str, template: str
) -> None:
    if isinstance(act, int):
        chance = random.Random(act)
        scene = await scene_of(database, lambda scene: play_on(scene, chance, 150))
    else:
        scene = await scene_of(database, act)
    before = await out(database, scene.owner, scene.squad, tmp_path)

    made = await back(database, scene.owner, "copy", before, tmp_path)
    copy = SquadRef(made["squad"]["id"], None)
    after = await out(database, scene.owner, copy, tmp_path)
    same_but_for_the_import(before, after)
    state = checkers.state(database.url, made["squad"]["id"])
    assert checkers.torn(state) == []

    with new_database(server_url, template) as url:
        other = Database(Settings(DATABASE_URL=url))
        async with other.AsyncSessionLocal() as db, db.begin():
            eve = await account(db, "eve@elsewhere.example")
        there = await back(other, eve, None, after, tmp_path)
        assert there["squad"]["name"] == "copy"
        assert checkers.torn(checkers.state(url, there["squad"]["id"])) == []
        again = await out(other, eve, SquadRef(there["squad"]["id"], None), tmp_path)
        assert rows(again, "event")[:-1] == rows(after, "event")
        for kind in ("task", "step", "budget"):
            assert rows(again, kind) == rows(after, kind)
        await other.close()


def signed(lines: list[bytes]) -> bytes:
    """A file whose digest is right."""
    body = b"".join(lines[:-1])
    trailer = json.loads(lines[-1]) | {"sha256": hashlib.sha256(body).hexdigest()}
    return body + json.dumps(trailer).encode() + b"\n"


async def test_memory_is_bounded_by_no_squads_size(database: Database, tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.create("x")
        await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim, "well")
        await scene.send(scene.ada, all=True)

    scene = await scene_of(database, act)
    small = await out(database, scene.owner, scene.squad, tmp_path)
    peaks = []
    for times in (500, 5_000):
        file = tmp_path / f"{times}"
        file.write_bytes(signed(list(repeated(small, times))))
        with file.open("rb") as lines:
            reading = Reading(lines)
            tracemalloc.start()
            while reading.batch():
                pass
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
    made = await back(database, scene.owner, "copy", file.read_bytes(), tmp_path)
    assert made["counts"]["task"] == 5_001
    assert checkers.torn(checkers.state(database.url, made["squad"]["id"])) == []


# Of each table: the row of a file, and which of its columns no file has. Tokens are secret, and marks can be lost.
ROWS: dict[type[Base], tuple[type[BaseModel], set[str]]] = {
    Squad: (Header, {"owner_id", "updated_at"}),
    Member: (MemberRow, {"id", "user_id"}),
    Task: (TaskRow, {"lease_ends_at"}),
    Dependency: (DependencyRow, set()),
    Attempt: (AttemptRow, set()),
    Message: (MessageRow, set()),
    Step: (StepRow, set()),
    Budget: (BudgetRow, {"reserved_tokens", "reserved_cost", "reserved_calls"}),
    Recipient: (RecipientRow, set()),
    Event: (BaseEvent, set()),
}
NO_ROWS = {"member_tokens", "marks"}
RENAMED = {"task_number": "task"}
ADDED = {"kind", "format", "exported_at", "last", "email", "owner", "to", "data"}


def test_no_column_is_forgotten() -> None:
    """Whoever adds a column or a table says here whether it goes along."""
    of_squads = {table.name for table in Base.metadata.tables.values() if "squad_id" in table.c}
    assert of_squads == {model.__tablename__ for model in ROWS if model is not Squad} | NO_ROWS
    for model, (row, left) in ROWS.items():
        names = {column.name for column in model.__table__.columns} - left - {"squad_id"}
        there = {RENAMED.get(name, name.removesuffix("_id") or name) for name in names}
        assert there - ADDED - {"member"} == set(row.model_fields) - ADDED - {"member"}, model


async def test_a_folder_that_takes_no_file_is_no_defect(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spools = Spools(tmp_path / "file", most=1)
    for _ in range(2):  # it takes no place from others either
        with pytest.raises(Overloaded, match="can't keep the file"):
            async with spools.one():
                pass
