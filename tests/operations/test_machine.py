"""Random operations by random members: the log folds to the tables, and a model of the board agrees with the server."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agentsquad.schemas.members import MemberEdit, MemberNew, PauseNew
from agentsquad.schemas.messages import AcknowledgeNew, MessageNew, ReadNew
from agentsquad.schemas.tasks import (
    AcceptNew,
    AnswerNew,
    AskNew,
    BlockNew,
    CancelNew,
    CompleteNew,
    FailNew,
    HandoffNew,
    HeartbeatNew,
    RejectNew,
    ReleaseNew,
    TaskEdit,
    TaskNew,
    WaitNew,
)
from backend.core.errors import Conflict
from backend.operations import members, messages, squads, tasks
from backend.operations.access import Actor
from tests.campaigns.crew import say
from tests.conftest import SCALE
from tests.defects import changed
from tests.operations import folding
from tests.operations.model import By, Member, Task
from tests.operations.playing import ANY, NOWHERE, PICKS, WRONG, Loop, Played
from tests.operations.scene import Scene

DATA = "coalesce(e.value -> 'data', '{}')"
FALSE = "(e.value -> 'data') || CASE e.value ->> 'kind' WHEN '{kind}' THEN '{data}' ELSE '{{}}' END::jsonb"
MOST = 14  # tasks of one board: few enough that they meet

PICK = st.sampled_from(range(PICKS))
BY = st.sampled_from(
    [By(key) for key in ("owner", "ada", "tess", "bob", "joe") * 3 + ("paul", "paul", "eve")]
    + [By("owner", "ada"), By("owner", "tess"), By("owner", "paul"), By("paul", "ada"), By("tess", "ada")]
)
OWNER = st.sampled_from([By("owner")] * 15 + [By("ada"), By("tess"), By("paul"), By("owner", "ada"), By("eve")])
NAME = st.sampled_from(("ada", "tess", "paul", "bob", "joe", "owner") * 2 + ("rex",))
ROLE = st.sampled_from(("", "backend", "tester"))
SLIP = st.sampled_from(("",) * 12 + ("older", "other"))  # what is wrong with a claim
KEY = st.sampled_from(("a", "b", "c"))
NEW = st.fixed_dictionaries(
    {
        "title": st.just("x"),
        "role": ROLE,
        "assignee": st.sampled_from((None,) * 12 + ("ada", "tess", "owner", "paul", "rex")),
        "review": st.sampled_from((None, None, "", "", "tester")),
        "priority": st.integers(0, 4),
        "depends_on": st.lists(KEY | PICK, max_size=3),
        "parent": st.none() | PICK | KEY,
    }
)


class Machine(Played):
    """The rules: any operation, by anybody."""

    @initialize(by=st.sampled_from([By("owner"), By("ada"), By("owner", "tess")]))
    def begin(self, by: By) -> None:
        for name, role in (("bob", ""), ("joe", "tester")):
            self.add(By("owner"), name, role)
        first = [
            TaskNew(title="x", key="a"),
            TaskNew(title="x", key="b", review=""),
            TaskNew(title="x", review="tester"),
        ]
        batch = [*first, TaskNew(title="x", depends_on=["a"]), TaskNew(title="x", depends_on=["a", "b"], parent="b")]
        self.both("create", by, (batch,), tasks.create, batch)

    @rule(by=BY, limit=st.integers(1, 3), retry=st.booleans(), ends=st.lists(st.booleans(), min_size=3, max_size=3))
    def work(self, by: By, limit: int, ends: list[bool], *, retry: bool) -> None:
        for number, done in zip(self.claim(by, None, limit), ends, strict=False):
            task = self.board.tasks[number]
            given = {"claim": f"{number}/{task.attempt}"}
            told = (number, task.attempt)
            if task.status == "in_review":
                verb, body = ("accept", AcceptNew(**given)) if done else ("reject", RejectNew(**given, note="no"))
                self.both(verb, by, told, getattr(tasks, verb), number, body)
            elif done:
                self.both("complete", by, (*told, "well"), tasks.complete, number, CompleteNew(**given, result="well"))
            else:
                self.both("fail", by, told, tasks.fail, number, FailNew(**given, reason="", retry=retry), retry=retry)

    @precondition(lambda self: len(self.board.tasks) < MOST)
    @rule(by=BY, new=st.lists(NEW, min_size=1, max_size=3))
    def create(self, by: By, new: list[dict[str, Any]]) -> None:
        self.make(by, new)

    def make(self, by: By, new: list[dict[str, Any]]) -> None:
        """Make a batch in which keys and numbers are mostly there."""

        def reference(given: int | str | None, within: int) -> Any:
            if isinstance(given, int):
                return self.some(given) if self.board.tasks or given >= WRONG else None
            return given if given is None or "abc".index(given) < within else None

        batch = []
        for at, item in enumerate(new):
            refs = [reference(each, len(new)) for each in item["depends_on"]]
            known = {"depends_on": [each for each in refs if each is not None], "parent": reference(item["parent"], at)}
            batch.append(TaskNew(**item | known, key="abcd"[at]))
        self.both("create", by, (batch,), tasks.create, batch)

    @rule(by=BY, limit=st.integers(1, 3))
    def claim_next(self, by: By, limit: int) -> None:
        self.claim(by, None, limit)

    @rule(by=BY, pick=PICK)
    def claim_one(self, by: By, pick: int) -> None:
        member = by.instead_of or by.key
        known = member in self.board.members
        self.claim(by, self.some(pick, lambda task: known and self.board.rank(task, member) is not None), 1)

    @rule(pick=PICK, slip=SLIP, other=BY, result=st.integers(0, 9))
    def complete(self, pick: int, slip: str, other: By, result: int) -> None:
        by, number, attempt = self.claimed(pick, slip, other)
        given = CompleteNew(claim=f"{number}/{attempt}", result=result)
        self.both("complete", by, (number, attempt, result), tasks.complete, number, given)

    @rule(pick=PICK, slip=SLIP, other=BY, retry=st.booleans())
    def fail(self, pick: int, slip: str, other: By, *, retry: bool) -> None:
        by, number, attempt = self.claimed(pick, slip, other)
        given = FailNew(claim=f"{number}/{attempt}", reason="no", retry=retry)
        self.both("fail", by, (number, attempt), tasks.fail, number, given, retry=retry)

    @rule(pick=PICK, slip=SLIP, other=BY, beat=st.booleans(), status=st.sampled_from(("in_progress", "in_review")))
    def release(self, pick: int, slip: str, other: By, status: str, *, beat: bool) -> None:
        by, number, attempt = self.claimed(pick, slip, other, status)
        if beat:
            alive = HeartbeatNew(claim=f"{number}/{attempt}")
            self.both("heartbeat", by, (number, attempt), tasks.heartbeat, number, alive)
        given = ReleaseNew(claim=f"{number}/{attempt}")
        self.both("release", by, (number, attempt), tasks.release, number, given)

    @rule(pick=PICK, slip=SLIP, other=BY, children=st.lists(st.sampled_from([False] * 5 + [True]), max_size=2))
    def wait_for_children(self, pick: int, slip: str, other: By, children: list[bool]) -> None:
        by, number, attempt = self.claimed(pick, slip, other)
        if children and number in self.board.tasks and len(self.board.tasks) < MOST:
            batch = [TaskNew(title="x", parent=number, depends_on=[number] if circle else []) for circle in children]
            self.both("create", by, (batch,), tasks.create, batch)
        given = WaitNew(claim=f"{number}/{attempt}")
        self.both("wait_for_children", by, (number, attempt), tasks.wait_for_children, number, given)

    @rule(pick=PICK, slip=SLIP, other=BY, to=st.none() | NAME, role=ROLE)
    def handoff(self, pick: int, slip: str, other: By, to: str | None, role: str) -> None:
        by, number, attempt = self.claimed(pick, slip, other)
        given = HandoffNew(claim=f"{number}/{attempt}", to=to, role=role, note="yours")
        self.both("handoff", by, (number, attempt, to, role), tasks.handoff, number, given)

    @rule(pick=PICK, slip=SLIP, other=BY, to=st.none() | NAME)
    def ask(self, pick: int, slip: str, other: By, to: str | None) -> None:
        by, number, attempt = self.claimed(pick, slip, other)
        given = AskNew(claim=f"{number}/{attempt}", question="why?", to=to)
        self.both("ask", by, (number, attempt, to), tasks.ask, number, given)

    @precondition(lambda self: self.any(lambda task: task.status == "in_review"))
    @rule(pick=PICK, slip=SLIP, other=BY, accepted=st.booleans())
    def review(self, pick: int, slip: str, other: By, *, accepted: bool) -> None:
        by, number, attempt = self.claimed(pick, slip, other, "in_review")
        verb, body = ("accept", AcceptNew) if accepted else ("reject", RejectNew)
        given = body(claim=f"{number}/{attempt}", note="seen")
        self.both(verb, by, (number, attempt), getattr(tasks, verb), number, given)

    @precondition(lambda self: self.any(lambda task: task.status == "todo" and task.assignee in ("owner", "paul")))
    @rule(pick=PICK, by=BY)
    def answer(self, pick: int, by: By) -> None:
        number = self.some(pick, lambda task: task.status == "todo" and task.assignee in ("owner", "paul"))
        task = self.board.tasks.get(number)
        by = By(task.assignee) if task and task.assignee and pick < ANY else by
        self.both("answer", by, (number, "yes"), tasks.answer, number, AnswerNew(answer="yes"))

    @rule(
        pick=PICK,
        by=OWNER,
        edit=st.builds(TaskEdit, assignee=st.none() | NAME)
        | st.builds(TaskEdit, role=ROLE, title=st.just("y"))
        | st.builds(TaskEdit, review=st.sampled_from((None, "", "tester")), priority=st.integers(0, 4)),
    )
    def update(self, pick: int, by: By, edit: TaskEdit) -> None:
        number = self.some(pick, lambda task: task.status != "done")
        self.both("update", by, (number, edit), tasks.update, number, edit)

    @rule(pick=PICK, other=PICK, by=OWNER)
    def add_dependency(self, pick: int, other: int, by: By) -> None:
        number = self.some(pick, lambda task: task.status not in ("in_progress", "in_review", "done"))
        on = self.some(other, lambda task: task.status != "done")
        self.both("add_dependency", by, (number, on), tasks.add_dependency, number, on)

    @precondition(lambda self: self.any(lambda task: task.depends_on))
    @rule(pick=PICK, other=PICK, by=OWNER)
    def remove_dependency(self, pick: int, other: int, by: By) -> None:
        number = self.some(pick, lambda task: task.depends_on and task.status == "blocked")
        edges = sorted(self.board.tasks[number].depends_on) if number in self.board.tasks else []
        on = edges[other % len(edges)] if edges and other < ANY else self.some(other)
        self.both("remove_dependency", by, (number, on), tasks.remove_dependency, number, on)

    @rule(pick=PICK, by=OWNER | BY, cascade=st.booleans())
    def cancel(self, pick: int, by: By, *, cascade: bool) -> None:
        number = self.some(pick, lambda task: task.status not in ("done", "failed", "cancelled"))
        self.both("cancel", by, (number,), tasks.cancel, number, CancelNew(cascade=cascade), cascade=cascade)

    @precondition(lambda self: self.any(lambda task: task.status in ("failed", "cancelled")))
    @rule(pick=PICK, by=OWNER | BY)
    def retry(self, pick: int, by: By) -> None:
        number = self.some(pick, lambda task: task.status in ("failed", "cancelled"))
        self.both("retry", by, (number,), tasks.retry, number)

    @rule(pick=PICK, by=OWNER, on=st.sampled_from(("budget", "stalled")))
    def block(self, pick: int, by: By, on: Any) -> None:
        number = self.some(pick, lambda task: task.status in ("todo", "in_progress"))
        self.both("block", by, (number, on), tasks.block, number, BlockNew(on=on, reason="enough"))

    @precondition(lambda self: self.any(lambda task: task.blocked_on in ("budget", "stalled")))
    @rule(pick=PICK, by=OWNER)
    def resume(self, pick: int, by: By) -> None:
        number = self.some(pick, lambda task: task.blocked_on in ("budget", "stalled"))
        self.both("resume", by, (number,), tasks.resume, number)

    @rule(pick=PICK, by=BY, status=st.sampled_from(("in_progress", "in_review")), swept=st.booleans())
    def end_lease(self, pick: int, by: By, status: str, *, swept: bool) -> None:
        def leased(task: Task) -> bool:
            return task.holder is not None and self.board.members[task.holder].kind != "person" and not task.over

        self.claimed(pick, "", by, status)  # somebody claims, if nobody has
        number = self.some(pick, leased)
        task = self.board.tasks.get(number)
        if task and leased(task):
            self.loop.run(self.scene.end_lease(number))
            task.over = True
            if swept:
                self.lapse()

    @precondition(lambda self: self.any(lambda task: task.over))
    @rule()
    def lapse(self) -> None:
        assert self.loop.run(self.scene.lapse()) == self.board.lapse()
        self.loop.done["lapse"] += 1

    # The rules: the squad, its members and their messages. They are few, for the board is what matters.

    def add(self, by: By, name: str, role: str) -> None:
        key = name if name not in self.board.members else f"{name}{len(self.board.members)}"
        _, added = self.both("add", by, (key, name, role), members.add, MemberNew(name=name, role=role))
        if added is not None:
            self.tokens[key] = Actor(member_id=added, squad_id=self.squad.id)

    @rule(by=OWNER, name=NAME, to=NAME, role=ROLE, verb=st.sampled_from(("add", "edit", "edit", "rename", "retire")))
    def manage(self, by: By, name: str, to: str, role: str, verb: str) -> None:
        match verb:
            case "add":
                self.add(by, name, role)
            case "retire":
                if name not in ("ada", "tess"):  # somebody stays
                    self.both("retire", by, (name,), members.retire, name)
            case _:
                edit = MemberEdit(name=to) if verb == "rename" else MemberEdit(role=role)
                self.both("edit", by, (name, edit.model_dump(exclude_unset=True)), members.update, name, edit)

    @rule(by=OWNER, other=BY, name=NAME, now=st.booleans(), verb=st.sampled_from(("pause", "pause squad", "archive")))
    def stop(self, by: By, other: By, name: str, verb: str, *, now: bool) -> None:
        if verb == "pause":
            self.both("pause", by, (name,), members.pause, name, PauseNew(now=now), now=now)
            return
        if verb == "archive":
            self.both("archive", by, (), squads.archive, archived=True)
        else:
            self.both("pause", by, (None,), squads.pause, PauseNew(now=now), now=now)
        self.agree()
        self.claim(other, None, 1)
        self.claim(other, 1, 1)
        self.both("retry", By("owner"), (1,), tasks.retry, 1)
        self.both("archive", By("owner"), (), squads.unarchive, archived=False)
        self.both("pause", By("owner"), (None,), squads.resume, now=False, paused=False)

    @precondition(lambda self: any(member.paused and not member.retired for member in self.board.members.values()))
    @rule(by=OWNER)
    def go_on(self, by: By) -> None:
        for name in [member.name for member in self.board.members.values() if member.paused and not member.retired]:
            self.both("pause", by, (name,), members.resume, name, now=False, paused=False)

    @rule(by=BY, to=st.none() | NAME, pick=PICK)
    def talk(self, by: By, to: str | None, pick: int) -> None:
        task = self.some(pick) if to is None and pick % 2 else None
        new = MessageNew(to=to, task=task, all=to is None and task is None, body="hm")
        self.both("send", by, (to, task), messages.send, new)
        me = self.board.members.get(by.instead_of or by.key, Member("nobody")).name
        inbox = folding.fold(self.loop.run(self.scene.log()))["inbox"]
        mine = [int(position) for position, _, name in (key.partition("/") for key in inbox) if name == me]
        position = mine[pick % len(mine)] if mine and pick < ANY else NOWHERE * NOWHERE
        given = AcknowledgeNew(messages=[position])
        self.both("attend", by, (), messages.acknowledge, "me", given, there=position in mine)
        self.both("attend", by, (), messages.mark_read, "me", ReadNew(up_to=position), there=True)


@pytest.fixture
def loop(shared_url: str) -> Iterator[Loop]:
    loop = Loop(shared_url)
    yield loop
    loop.close()


def run(loop: Loop, examples: int, **more: Any) -> None:
    """Let it play; without a folder of its own, Hypothesis remembers nothing of it."""
    slow = [HealthCheck.too_slow]  # a step is a handful of round trips
    playing = settings(
        max_examples=examples,
        stateful_step_count=50,
        deadline=None,
        database=None,
        suppress_health_check=slow,
        **more,
    )

    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(loop)

    run_state_machine_as_test(Here, settings=playing)


# Boards of tests are small: a mark that moves with every claim is one that matters.
EAGER = changed(
    "claim_tasks",
    ("v_mark.number + 100", "v_mark.number"),
    ("clock_timestamp() > v_now + interval '1 ms'", "true"),
)


@pytest.mark.parametrize("instead", [[], EAGER], ids=["as_it_is", "with_marks_that_follow_every_claim"])
def test_the_log_folds_and_the_model_agrees(loop: Loop, instead: list[str]) -> None:
    loop.instead = instead
    run(loop, 15 * SCALE)
    done, refused = loop.done, loop.refused
    assert done["claim"] > 0
    say(f"machine: {done.total()} operations accepted {dict(done)}, {refused.total()} refused {dict(refused)}")


@pytest.mark.parametrize(
    ("function", "right", "wrong", "seen"),
    [
        ("complete_task", "THEN ARRAY[t.number]", "THEN '{}'::int[]", "the model says"),
        ("lapse_tasks", "greatest(tries_left - 1, 0)", "tries_left", "the model says"),
        ("hold_task", "AND t.holder_id = p_member", "", "the model says"),
        ("append_events", DATA, FALSE.format(kind="task.created", data='{"tries_left": 9}'), "the log says"),
        ("append_events", DATA, FALSE.format(kind="task.claimed", data='{"holder": null}'), "the log says"),
    ],
    ids=["frees_nothing", "forgives_lapses", "has_no_fence", "lies_of_tries", "is_silent_of_holders"],
)
def test_control_a_board_that_does_otherwise_is_found(
    loop: Loop, function: str, right: str, wrong: str, seen: str
) -> None:
    loop.instead = changed(function, (right, wrong))
    with pytest.raises(AssertionError, match=seen):
        run(loop, 300, phases=[Phase.generate], report_multiple_bugs=False, derandomize=True)


def test_control_a_mark_that_is_not_lowered_hides_tasks(loop: Loop) -> None:
    loop.instead = EAGER + changed("append_events", ("PERFORM lower_marks(p_squad, p_events)", "NULL"))
    with pytest.raises(AssertionError, match=r"the model (says|claims)"):
        run(loop, 300, phases=[Phase.generate], report_multiple_bugs=False, derandomize=True)


async def test_a_retry_closes_no_circle(scene: Scene) -> None:
    await scene.create("parent")
    claim = (await scene.hold(scene.ada, 1)).claim
    await scene.create(TaskNew(title="child", parent=1), TaskNew(title="another", parent=1))
    await scene.steer("cancel", scene.owner, 2, CancelNew())
    await scene.held("wait_for_children", scene.ada, claim)
    await scene.steer("add_dependency", scene.owner, 2, 1)
    with pytest.raises(Conflict):
        await scene.steer("retry", scene.owner, 2)
    await scene.steer("remove_dependency", scene.owner, 2, 1)
    assert (await scene.steer("retry", scene.owner, 2)).status == "todo"
