"""A file is believed in nothing: what operations would not have left is refused, and nothing of it is kept."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from agentsquad.schemas import limits
from backend.core.database import Database
from backend.core.errors import Invalid
from backend.operations.access import SquadRef
from backend.operations.imports import knowing
from tests.operations.everything import fill
from tests.operations.scene import Scene
from tests.operations.test_exports import back, out, scene_of, signed

Lines = list[dict[str, Any]]


class File:
    """A file to be changed."""

    def __init__(self, file: bytes) -> None:
        self.lines: Lines = [json.loads(line) for line in file.splitlines()]

    @property
    def header(self) -> dict[str, Any]:
        return self.lines[0]

    def rows(self, kind: str) -> Lines:
        return [line["row"] for line in self.lines if line["kind"] == kind]

    def task(self, number: int, **changes: Any) -> None:
        """Change a task, and let the log tell the same."""
        self.rows("task")[number - 1].update(changes)
        self.tell(number, **changes)

    def tell(self, number: int, **changes: Any) -> None:
        """Let the log tell otherwise of a task."""
        told = [event for event in self.rows("event") if event["task"] == number and event["kind"].startswith("task.")]
        told[-1]["data"].update(changes)

    def of(self, kind: str, /, **wanted: Any) -> dict[str, Any]:
        """The first row that is so."""
        return next(row for row in self.rows(kind) if all(row[name] == value for name, value in wanted.items()))

    def insert(self, kind: str, row: dict[str, Any], before: str) -> None:
        at = next(index for index, line in enumerate(self.lines) if line["kind"] == before)
        self.lines.insert(at, {"kind": kind, "row": row})
        self.count(kind, 1)

    def drop(self, kind: str, row: dict[str, Any]) -> None:
        self.lines = [line for line in self.lines if line.get("row") is not row]
        self.count(kind, -1)

    def count(self, kind: str, more: int) -> None:
        self.lines[-1]["counts"][kind] += more

    def text(self) -> bytes:
        return signed([json.dumps(line).encode() + b"\n" for line in self.lines])


def retired(file: File) -> str:
    return str(next(row["name"] for row in file.rows("member") if row["retired_at"]))


def put(row: str, **changes: Any) -> Callable[[File], None]:
    """Change the first row of a kind, or the header."""
    return lambda file: (file.header if row == "squad" else file.rows(row)[0]).update(changes)


# What is done to a file, and what is said of it.
WRONG: dict[str, tuple[Callable[[File], Any], str]] = {
    "another format": (put("squad", format=2), "format: Input should be 1"),
    "a field too many": (put("task", lease_ends_at=None), "Extra inputs are not permitted"),
    "another kind": (lambda f: f.lines.insert(1, {"kind": "token", "row": {}}), "token is no kind that is known"),
    "a name that is none": (put("member", name="a/b"), "letters, digits"),
    "a name that stands for all": (put("member", name="me"), "the name me stands for whoever asks"),
    "a NUL": (put("task", title="a\0b"), "holds a NUL character"),
    "a NUL in the log": (lambda f: f.rows("event")[9]["data"].update(title="\0"), "holds a NUL character"),
    "half a character": (lambda f: f.rows("task")[0].update(title="\ud800"), "it is no JSON"),
    "a title too long": (put("task", title="x" * (limits.TITLE + 1)), "at most 200 characters"),
    "a line too long": (put("task", input="x" * limits.LINE), f"at most {limits.LINE} bytes"),
    "a time without a zone": (put("attempt", started_at="2026-01-01T00:00:00"), "timezone"),
    "a time that is none": (put("attempt", started_at="soon"), "started_at"),
    "numbers as text": (put("task", priority="2"), "priority"),
    "an infinite number": (put("task", input=float("inf")), "not finite"),
    "a member twice": (lambda f: f.insert("member", f.rows("member")[0], "member"), "out of order"),
    "two owners": (lambda f: f.of("member", name="paul").update(owner=True), "there is one owner"),
    "no owner": (lambda f: f.of("member", owner=True).update(owner=False), "no member is the squad's owner"),
    "a person without an address": (
        lambda f: f.of("member", name="paul").update(email=None),
        "a person has an address",
    ),
    "a gap in the numbers": (lambda f: f.rows("task")[3].update(number=5), "number 4 should be here, and not 5"),
    "a gap in the log": (lambda f: f.drop("event", f.rows("event")[7]), "number 8 should be here, and not 9"),
    "no beginning": (lambda f: f.rows("event")[0].update(kind="squad.updated"), "Extra inputs"),
    "a second beginning": (
        lambda f: f.rows("event")[5].update(kind="squad.created", data=f.rows("event")[0]["data"]),
        "the log begins with `squad.created`",
    ),
    "an unknown event": (lambda f: f.rows("event")[5].update(kind="task.vanished"), "task.vanished"),
    "an assignee from nowhere": (lambda f: f.task(1, assignee="rex"), "there is no member rex"),
    "a parent behind": (lambda f: f.task(3, parent=4), "there is no parent #4 before it"),
    "an edge to nowhere": (lambda f: f.rows("dependency")[0].update(depends_on=99), "there is no task #99"),
    "an edge to itself": (lambda f: f.rows("dependency")[0].update(depends_on=2), "#2 depends on itself"),
    "an edge twice": (lambda f: f.insert("dependency", f.rows("dependency")[0], "dependency"), "it is there already"),
    "a circle": (
        lambda f: f.rows("dependency")[0].update(depends_on=3),
        "waits for itself, over others",
    ),
    "a circle over a child": (
        lambda f: f.insert("dependency", {"task": 19, "depends_on": 9}, "attempt"),
        "#9 waits for itself, over others",
    ),
    "an attempt of nobody's": (put("attempt", member="rex"), "there is no member rex"),
    "an attempt at nothing": (lambda f: f.rows("attempt")[-1].update(task=77), "there is no task #77"),
    "an event of nothing": (lambda f: f.rows("event")[9].update(task=77), "there is no task #77"),
    "mail that wasn't sent": (lambda f: f.rows("recipient")[0].update(position=2), "there is no message 2"),
    "fewer lines than it says": (lambda f: f.count("task", 1), "lines are missing"),
    "another end of the log": (put("squad", last=9), "lines are missing"),
    "another lease than the log tells": (put("squad", lease_seconds=9), "doesn't tell what the file says of the squad"),
    "another role than the log tells": (
        lambda f: f.of("member", name="tess").update(role="lead"),
        "doesn't tell what the file says of the member tess",
    ),
    "another model than the log tells": (
        lambda f: f.of("member", name="hal")["hosting"].update(model="openai:gpt-5"),
        "doesn't tell what the file says of the member hal",
    ),
    "an address that holds a password": (
        lambda f: f.of("member", name="hal")["hosting"].update(base_url="http://me:secret@localhost"),
        "an address such as",
    ),
    "a model that the log knows and the file doesn't": (
        lambda f: f.of("member", name="paused").update(hosting=None),
        "doesn't tell what the file says of the member paused",
    ),
    "a member whom the log doesn't know": (
        lambda f: f.of("event", kind="member.added")["data"].update(name="rex"),
        "of the member",
    ),
    # Rows together.
    "work before its time": (lambda f: f.task(3, status="todo", blocked_on=None), "#3 depends on what is not done"),
    "work that never comes": (
        lambda f: f.of("dependency", task=8).update(depends_on=1),
        "#8 is blocked by dependencies that are all done",
    ),
    "a parent that waits for ever": (
        lambda f: f.of("task", number=19).update(status="cancelled"),
        "#9 waits for children that have all ended",
    ),
    "progress of nobody's": (lambda f: f.task(11, holder=None), "#11 is in progress, and nobody holds it"),
    "another holder than the attempt's": (lambda f: f.task(11, holder="tess"), "#11 is held without an attempt"),
    "two who work": (
        lambda f: f.of("attempt", task=12).update(ended_at=None, outcome=None, attempt=2),
        "#12 is held without an attempt",
    ),
    "an attempt too few": (lambda f: f.drop("attempt", f.of("attempt", task=7)), "#7 has other attempts than it says"),
    "an attempt further": (lambda f: f.task(1, attempt=7), "#1 has other attempts than it says"),
    "done by nobody": (lambda f: f.rows("task")[0].update(worker=None), "#1 was completed by nobody"),
    "for a member who is gone": (lambda f: f.task(2, assignee=retired(f)), "#2 is assigned to a member who is retired"),
    "another assignee than the log tells": (
        lambda f: f.rows("task")[8].update(assignee="tess"),
        "#9 names another member than the log tells",
    ),
    "another worker than the log tells": (
        lambda f: f.rows("task")[0].update(worker="tess"),
        "#1 names another member than the log tells",
    ),
    "another creator than the log tells": (
        lambda f: f.rows("task")[0].update(creator=None),
        "#1 names another member than the log tells",
    ),
    "another title than the log tells": (lambda f: f.rows("task")[1].update(title="other"), "#2 is not what the log"),
    "another result than the log tells": (lambda f: f.rows("task")[0].update(result=1), "#1 is not what the log tells"),
    "a log that tells of another priority": (
        lambda f: f.of("event", kind="task.created", task=2)["data"].update(priority=1),
        "#2 is not what the log tells",
    ),
    "a task that the log doesn't know": (
        lambda f: f.of("event", kind="task.created", task=2).update(task=1),
        "is not what the log tells",
    ),
    "another reason than the log tells": (
        lambda f: f.of("attempt", task=7, attempt=2).update(reason="yes"),
        "An attempt at #7 is not what the log tells",
    ),
    "a path more": (
        lambda f: f.of("attempt", task=11)["paths"].append("docs/"),
        "An attempt at #11 is not what the log tells",
    ),
    "another lease": (
        lambda f: f.of("attempt", task=11).update(lease_seconds=None),
        "An attempt at #11 is not what the log tells",
    ),
    "a path that leads out": (put("attempt", paths=["../x"]), "paths"),
    "a lease of a second": (put("attempt", lease_seconds=1), "lease_seconds"),
    # Steps and budgets.
    "a step twice": (lambda f: f.insert("step", f.rows("step")[0], "step"), "it is there already"),
    "a step at nothing": (lambda f: f.rows("step")[-1].update(task=77), "there is no task #77"),
    "a step of nobody's": (put("step", member="rex"), "there is no member rex"),
    "a step of no attempt": (put("step", attempt=9), "breaks the rule fk_steps"),
    "a step of another member": (put("step", member="tess"), "is not what the log tells"),
    "a step that is gone": (lambda f: f.drop("step", f.rows("step")[1]), "A step of #22 is not what the log tells"),
    "a step whose event is gone": (
        lambda f: f.rows("step")[1].update(number=99, ended_at=f.rows("step")[-1]["started_at"]),
        "out of order",
    ),
    "another cost than the log tells": (
        lambda f: f.of("step", kind="answer", state="finished").update(cost=0),
        "A step of #22 is not what the log tells",
    ),
    "another content than the log tells": (put("step", content="x"), "A step of #22 is not what the log tells"),
    "a step that nobody ended": (
        lambda f: f.of("step", number=5, task=22).update(state="unknown"),
        "A step of #22 is not what the log tells",
    ),
    "a step that nobody has lost": (
        lambda f: f.of("step", state="started").update(state="unknown", ended_at="2026-01-01T00:00:00Z"),
        "is not what the log tells",
    ),
    "a step under way of an attempt that is over": (
        lambda f: f.of("step", state="unknown", number=6).update(state="started", ended_at=None),
        "breaks the rule uq_steps_open",
    ),
    "a step without an end": (put("step", ended_at=None), "breaks the rule ck_steps_ended"),
    "a step of less than nothing": (put("step", cost=-1), "cost"),
    "a step of no number": (put("step", input_tokens=2**64), "input_tokens"),
    "an event of a step of no task": (
        lambda f: f.of("event", kind="step.ended").update(task=None),
        "there is no task #0",
    ),
    "a step that only the log knows": (
        lambda f: f.of("event", kind="step.started")["data"].update(step=99),
        "is not what the log tells",
    ),
    "a budget twice": (lambda f: f.insert("budget", f.rows("budget")[0], "budget"), "it is there already"),
    "a budget of nothing": (lambda f: f.rows("budget")[-1].update(task=77), "there is no task #77"),
    "less than was spent": (
        lambda f: f.of("budget", task=22).update(calls=1),
        "What #22 has spent is not what its steps have cost",
    ),
    "less than the squad has spent": (put("budget", cost=0), "What the squad has spent is not what its steps have"),
    "a price that is known": (put("budget", unpriced=0), "What the squad has spent is not"),
    "a budget that is gone": (lambda f: f.drop("budget", f.rows("budget")[0]), "What the squad has spent is not what"),
    "another limit than the log tells": (put("budget", max_cost=None), "The budget of the squad is not what the log"),
    "a limit that nobody has set": (
        lambda f: f.of("budget", task=26).update(max_calls=7),
        "The budget of #26 is not what the log tells",
    ),
    "more than there are": (put("budget", tokens=2**63), "tokens"),
    "another text than was sent": (put("message", body="other"), "is not what the log tells"),
    "mail that is gone": (lambda f: f.drop("recipient", f.rows("recipient")[0]), "is not what the log tells"),
    "an answer that wasn't given": (
        lambda f: f.of("recipient", acknowledged_at=None).update(
            acknowledged_at="2026-01-01T00:00:00Z", read_at="2026-01-01T00:00:00Z"
        ),
        "was acknowledged, and the log doesn't tell so",
    ),
    # What only the tables' own constraints refuse.
    "a status of two minds": (lambda f: f.task(1, blocked_on="stalled"), "breaks the rule ck_tasks_blocked"),
    "an external member that the server would run": (
        lambda f: (
            f.of("member", name="tess").update(hosting={"model": "x"}),
            next(
                row["data"]
                for row in f.rows("event")
                if row["kind"] == "member.added" and row["data"]["name"] == "tess"
            ).update(hosting={"model": "x"}),
        ),
        "breaks the rule ck_members_hosting",
    ),
    "an end before which nothing was": (put("attempt", ended_at=None), "breaks the rule ck_attempts_ended"),
    "a time that only pydantic reads": (put("task", created_at="1700000000"), "can't be imported"),
}


@pytest.fixture
async def scene(database: Database) -> Scene:
    return await scene_of(database, fill)


@pytest.fixture
async def file(database: Database, scene: Scene, tmp_path: Path) -> bytes:
    return await out(database, scene.owner, scene.squad, tmp_path)


def squads(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM squads")
        return int(cursor.fetchall()[0][0])


async def refusal(database: Database, scene: Scene, file: bytes, folder: Path) -> str:
    with pytest.raises(Invalid) as caught:
        await back(database, scene.owner, "copy", file, folder)
    assert squads(database.url) == 1
    return caught.value.detail


async def test_what_operations_would_not_have_left_is_refused(
    database: Database, scene: Scene, file: bytes, tmp_path: Path
) -> None:
    found = {}
    for name, (change, expected) in WRONG.items():
        changed = File(file)
        change(changed)
        said = await refusal(database, scene, changed.text(), tmp_path)
        if expected not in said or len(said) > 300:
            found[name] = said
    assert found == {}
    # The control: read and written the same way, without a change, it comes in.
    assert (await back(database, scene.owner, "copy", File(file).text(), tmp_path))["squad"]["name"] == "copy"


async def test_a_file_that_was_cut_or_changed_is_noticed(
    database: Database, scene: Scene, file: bytes, tmp_path: Path
) -> None:
    lines = file.splitlines(keepends=True)
    for cut in (b"", *(b"".join(lines[:n]) for n in (1, 5, len(lines) - 1)), file[:-1], file[: len(file) // 2]):
        assert "cut off" in await refusal(database, scene, cut, tmp_path) or not cut.strip()
    changed = file.replace(b"waits for two", b"waits for all")
    assert "its digest is another one" in await refusal(database, scene, changed, tmp_path)
    assert "nothing comes after" in await refusal(database, scene, file + lines[0], tmp_path)
    assert "doesn't belong here" in await refusal(database, scene, lines[1] + file, tmp_path)
    assert "it is no JSON" in await refusal(database, scene, b"\x89PNG\r\n\x1a\n" + file, tmp_path)
    assert "it is no JSON" in await refusal(database, scene, file[:-1] + b"\xff\n" + file, tmp_path)


async def test_an_error_names_its_line(database: Database, scene: Scene, file: bytes, tmp_path: Path) -> None:
    for kind, change in (("task", {"title": ""}), ("event", {"position": 0})):
        changed = File(file)
        changed.rows(kind)[2].update(change)
        line = 3 + next(n for n, each in enumerate(changed.lines) if each["kind"] == kind)
        assert (await refusal(database, scene, changed.text(), tmp_path)).startswith(f"Line {line}: ")
    changed = File(file)
    changed.rows("task")[4].update(title="other")
    line = 5 + next(n for n, each in enumerate(changed.lines) if each["kind"] == "task")
    assert await refusal(database, scene, changed.text(), tmp_path) == f"Line {line}: #5 is not what the log tells."


async def test_another_squads_ids_lead_nowhere(database: Database, scene: Scene, file: bytes, tmp_path: Path) -> None:
    """Ids in a file are history: nothing is found by them."""
    changed = File(file)
    changed.header["id"] = str(scene.squad.id)
    changed.rows("event")[0]["data"]["owner"] = str(uuid4())
    made = await back(database, scene.owner, "copy", changed.text(), tmp_path)
    assert made["squad"]["id"] != str(scene.squad.id)
    assert made["squad"]["owner"]["id"] == str(scene.owner.user_id)


async def test_a_log_that_tells_of_more_members_than_there_may_be_is_read_no_further(
    database: Database, scene: Scene, file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = File(file)
    last = changed.rows("event")[-1]["position"]
    added = changed.of("event", kind="member.added")
    more = added | {"position": last + 1, "data": added["data"] | {"name": "one-too-many"}}
    changed.insert("event", more, "end")
    changed.header["last"] = last + 1
    most = len(changed.rows("member"))
    monkeypatch.setattr(limits, "MEMBERS", most)
    said = await refusal(database, scene, changed.text(), tmp_path)
    assert said == f"Line {len(changed.lines) - 1}: at most {most} members."
    assert (await back(database, scene.owner, "copy", file, tmp_path))["squad"]["name"] == "copy"


async def test_whom_the_server_would_run_is_paused_until_its_new_owner_resumes_it(
    database: Database, scene: Scene, file: bytes, tmp_path: Path
) -> None:
    made = await back(database, scene.owner, "copy", file, tmp_path)
    assert made["paused"] == ["hal"]  # another one was paused there, and the third has no model
    came = {member["name"]: member for member in made["squad"]["members"]}
    there = {row["name"]: row for row in File(file).rows("member")}
    assert came["hal"]["hosting"] == there["hal"]["hosting"]
    assert {name: bool(came[name]["paused_at"]) for name in ("hal", "hosted", "paused", "eda")} == {
        "hal": True, "hosted": False, "paused": True, "eda": False,
    }  # fmt: skip
    event = File(await out(database, scene.owner, SquadRef(UUID(made["squad"]["id"]), None), tmp_path)).rows("event")[
        made["last"]
    ]
    assert (event["kind"], event["data"]["member"]) == ("member.paused", "hal")
    assert event["actor"]["user"] == "owner@example.com"


async def test_a_file_from_before_members_had_models_comes_in(
    database: Database, scene: Scene, file: bytes, tmp_path: Path
) -> None:
    older = File(file)
    for row in older.rows("member"):
        del row["hosting"]
    for event in older.rows("event"):
        event["data"].pop("hosting", None)
    made = await back(database, scene.owner, "copy", older.text(), tmp_path)
    assert made["paused"] == []
    assert {member["hosting"] for member in made["squad"]["members"]} == {None}


async def test_what_was_under_way_is_settled_as_it_comes_in(
    database: Database, scene: Scene, file: bytes, tmp_path: Path
) -> None:
    before = File(file)
    under_way = [step for step in before.rows("step") if step["state"] == "started"]
    assert {(step["task"], step["kind"]) for step in under_way} == {(22, "answer"), (25, "tool"), (26, "answer")}
    made = await back(database, scene.owner, "copy", file, tmp_path)
    after = File(await out(database, scene.owner, SquadRef(made["squad"]["id"], None), tmp_path))
    for step in under_way:
        now = after.of("step", task=step["task"], number=step["number"])
        ended = after.of("attempt", task=step["task"], attempt=step["attempt"])["ended_at"]
        assert now == step | {"state": "unknown", "ended_at": ended}
    for task, calls, unpriced in ((None, 2, 1), (22, 2, 1), (26, 1, 1), (25, 0, 0)):
        old, new = (next((b for b in f.rows("budget") if b["task"] == task), {}) for f in (before, after))
        assert new.get("calls", 0) == old.get("calls", 0) + calls
        assert new.get("unpriced", 0) == old.get("unpriced", 0) + unpriced
    reserved = "SELECT sum(reserved_calls) + sum(reserved_tokens) + sum(reserved_cost) FROM budgets WHERE squad_id = %s"
    with closing(psycopg2.connect(database.url)) as connection, connection.cursor() as cursor:
        cursor.execute(reserved, (made["squad"]["id"],))
        assert cursor.fetchall() == [(0,)]


async def test_a_file_that_knows_no_steps_and_budgets_comes_in(
    database: Database, scene: Scene, file: bytes, tmp_path: Path
) -> None:
    """As an older server has written it."""
    old = File(file)
    last = next(event["position"] for event in old.rows("event") if event["task"] == 22) - 1
    for kind in ("step", "budget"):
        for row in old.rows(kind):
            old.drop(kind, row)
        assert old.lines[-1]["counts"].pop(kind) == 0
    for kind, first in (
        ("task", 22),
        ("attempt", 22),
        ("message", last + 1),
        ("recipient", last + 1),
        ("event", last + 1),
    ):
        for row in old.rows(kind):
            if row.get("number" if kind == "task" else "task" if kind == "attempt" else "position", 0) >= first:
                old.drop(kind, row)
    old.header["last"] = last
    made = await back(database, scene.owner, "copy", old.text(), tmp_path)
    assert (made["counts"]["step"], made["counts"]["budget"], made["counts"]["task"]) == (0, 0, 21)


async def test_steps_under_way_lie_only_so_deep(
    database: Database, scene: Scene, file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them is settled in a budget of every task above it."""
    monkeypatch.setattr(knowing, "DEEP", 0)
    assert "steps are under way too far below other tasks" in await refusal(database, scene, file, tmp_path)
