import pytest

from agentsquad.schemas.tasks import AnswerNew, Asked, CancelNew, Claim, TaskNew
from backend.core.errors import Conflict, Forbidden, Invalid, LostClaim, WrongStatus
from tests.operations.scene import Scene


async def split(scene: Scene, *children: str) -> Claim:
    """#1, held by ada, and its children #2 and on."""
    await scene.create("parent")
    claim = await scene.hold(scene.ada, 1)
    for title in children:
        await scene.create(TaskNew(title=title, parent=1))
    return claim


async def waiting(scene: Scene, *children: str) -> None:
    """#1, which waits for its children."""
    await scene.held("wait_for_children", scene.ada, (await split(scene, *children)).claim)


async def test_a_parent_waits_for_its_children_at_the_cost_of_no_try(scene: Scene) -> None:
    task = await scene.held("wait_for_children", scene.ada, (await split(scene, "a", "b")).claim)
    assert (task.status, task.blocked_on, task.holder, task.lease_ends_at) == ("blocked", "children", None, None)
    assert (task.assignee, task.tries_left) == ("ada", 3)
    assert await scene.attempts(1) == [("work", "ada", "waiting")]
    assert (await scene.kinds(of=1))[-1] == "task.waiting"


async def test_the_last_child_that_ends_frees_it_for_the_waiter(scene: Scene) -> None:
    await waiting(scene, "a", "b")
    await scene.complete(scene.tess, (await scene.hold(scene.tess, 2)).claim)
    assert (await scene.task(1)).status == "blocked"
    await scene.complete(scene.tess, (await scene.hold(scene.tess, 3)).claim)
    task = await scene.task(1)
    assert (task.status, task.blocked_on, task.assignee, task.tries_left) == ("todo", None, "ada", 3)
    assert await scene.claim(scene.tess) is None
    assert (await scene.hold(scene.ada)).claim == "1/2"
    assert await scene.disagreements() == []


async def test_however_they_end(scene: Scene) -> None:
    await waiting(scene, "done", "failed", "cancelled")
    await scene.complete(scene.tess, (await scene.hold(scene.tess, 2)).claim, "result")
    await scene.fail(scene.tess, (await scene.hold(scene.tess, 3)).claim)
    assert (await scene.task(1)).status == "blocked"
    await scene.steer("cancel", scene.owner, 4, CancelNew())
    assert (await scene.task(1)).status == "todo"
    claim = await scene.hold(scene.ada)
    assert [(child.number, child.status, child.result) for child in claim.children] == [
        (2, "done", "result"),
        (3, "failed", None),
        (4, "cancelled", None),
    ]
    assert await scene.disagreements() == []


async def test_a_child_in_review_has_not_ended(scene: Scene) -> None:
    claim = await split(scene)
    await scene.create(TaskNew(title="a", parent=1, review="tester"))
    await scene.complete(scene.paul, (await scene.hold(scene.paul, 2)).claim)
    assert (await scene.held("wait_for_children", scene.ada, claim.claim)).status == "blocked"
    await scene.held("accept", scene.tess, (await scene.hold(scene.tess)).claim)
    assert (await scene.task(1)).status == "todo"


async def test_a_child_whose_last_lease_lapsed_has_ended(scene: Scene) -> None:
    await waiting(scene, "a")
    for _ in range(3):
        await scene.hold(scene.tess, 2)
        await scene.end_lease(2)
        await scene.lapse()
    assert ((await scene.task(2)).status, (await scene.task(1)).status) == ("failed", "todo")
    assert await scene.disagreements() == []


async def test_it_is_free_at_once_if_all_have_ended(scene: Scene) -> None:
    claim = await split(scene, "a")
    await scene.fail(scene.tess, (await scene.hold(scene.tess, 2)).claim)
    task = await scene.held("wait_for_children", scene.ada, claim.claim)
    assert (task.status, task.blocked_on, task.assignee, task.tries_left) == ("todo", None, "ada", 3)
    assert await scene.disagreements() == []


async def test_or_if_there_are_none(scene: Scene) -> None:
    task = await scene.held("wait_for_children", scene.ada, (await split(scene)).claim)
    assert (task.status, task.assignee) == ("todo", "ada")


async def test_who_waits_holds_nothing_any_more(scene: Scene) -> None:
    claim = await split(scene, "a")
    await scene.held("wait_for_children", scene.ada, claim.claim)
    with pytest.raises(LostClaim):
        await scene.complete(scene.ada, claim.claim)


async def test_a_child_that_comes_later_is_waited_for_too(scene: Scene) -> None:
    await waiting(scene, "a")
    await scene.create(TaskNew(title="b", parent=1))
    await scene.complete(scene.tess, (await scene.hold(scene.tess, 2)).claim)
    assert (await scene.task(1)).status == "blocked"
    await scene.complete(scene.tess, (await scene.hold(scene.tess, 3)).claim)
    assert (await scene.task(1)).status == "todo"


async def test_freed_with_a_new_dependency_it_waits_for_that(scene: Scene) -> None:
    await waiting(scene, "a")
    await scene.create("other")
    await scene.steer("add_dependency", scene.owner, 1, 3)
    await scene.complete(scene.tess, (await scene.hold(scene.tess, 2)).claim)
    task = await scene.task(1)
    assert (task.status, task.blocked_on) == ("blocked", "dependencies")
    await scene.complete(scene.tess, (await scene.hold(scene.tess, 3)).claim)
    assert (await scene.task(1)).status == "todo"
    assert await scene.disagreements() == []


# a child that would wait for its parent


async def test_no_parent_waits_for_a_child_that_waits_for_it(scene: Scene) -> None:
    claim = await split(scene, "a")
    await scene.create(TaskNew(title="between", depends_on=[1]))
    await scene.steer("add_dependency", scene.owner, 2, 3)
    before = await scene.tables()
    with pytest.raises(Conflict, match="A child of #1 depends on #1 itself"):
        await scene.held("wait_for_children", scene.ada, claim.claim)
    assert await scene.tables() == before


async def test_no_dependency_lets_a_child_wait_for_the_parent_that_waits(scene: Scene) -> None:
    await waiting(scene, "a")
    await scene.create(TaskNew(title="between", depends_on=[1]))
    for other in (1, 3):
        with pytest.raises(Conflict, match="circle"):
            await scene.steer("add_dependency", scene.owner, 2, other)
    assert await scene.disagreements() == []


@pytest.mark.parametrize(
    "batch",
    [
        [TaskNew(title="b", parent=1, depends_on=[1])],
        [TaskNew(title="b", parent=1, depends_on=[3])],
        [TaskNew(title="x", key="x", depends_on=[1]), TaskNew(title="b", parent=1, depends_on=["x"])],
    ],
)
async def test_no_child_is_made_that_waits_for_the_parent_that_waits(scene: Scene, batch: list[TaskNew]) -> None:
    await waiting(scene, "a")
    await scene.create(TaskNew(title="between", depends_on=[1]))
    log = await scene.log()
    with pytest.raises(Conflict, match="A child of #1 would wait for #1"):
        await scene.create(*batch)
    assert await scene.log() == log


async def test_a_child_may_depend_on_its_parent_while_that_does_not_wait(scene: Scene) -> None:
    claim = await split(scene)
    await scene.create(TaskNew(title="afterwards", parent=1, depends_on=[1]))
    await scene.complete(scene.ada, claim.claim)
    assert (await scene.task(2)).status == "todo"


async def test_an_ended_task_gets_no_children(scene: Scene) -> None:
    await scene.complete(scene.ada, (await split(scene)).claim)
    with pytest.raises(Invalid, match="#1 is done; a parent has to be unfinished"):
        await scene.create(TaskNew(title="late", parent=1))


# questions


async def asked(scene: Scene, to: str | None = None) -> Asked:
    await scene.create("one")
    return await scene.ask(scene.ada, (await scene.hold(scene.ada)).claim, "Keep the old name?", to)


async def test_a_question_is_a_child_for_the_owner_and_its_asker_waits(scene: Scene) -> None:
    found = await asked(scene)
    question, task = found.question, found.task
    assert (question.number, question.title, question.parent) == (2, "Keep the old name?", 1)
    assert (question.status, question.assignee, question.created_by) == ("todo", "owner", "ada")
    assert (task.status, task.blocked_on, task.holder, task.tries_left) == ("blocked", "children", None, 3)
    assert (await scene.kinds())[-2:] == ["task.created", "task.waiting"]
    assert await scene.disagreements() == []


async def test_it_may_name_another_person(scene: Scene) -> None:
    assert (await asked(scene, "paul")).question.assignee == "paul"


@pytest.mark.parametrize(("to", "error"), [("tess", "tess is no person"), ("nobody", "There is no member nobody")])
async def test_but_nobody_else(scene: Scene, to: str, error: str) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    before = await scene.tables()
    with pytest.raises(Exception, match=error):
        await scene.ask(scene.ada, claim.claim, to=to)
    assert await scene.tables() == before


async def test_a_lost_claim_asks_nothing(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    await scene.end_lease(1)
    before = await scene.tables()
    with pytest.raises(LostClaim):
        await scene.ask(scene.ada, claim.claim)
    assert await scene.tables() == before


@pytest.mark.parametrize("answer", ["yes", None, False, 0, "", [], {"a": [1, None]}])
async def test_any_json_is_an_answer_and_wakes_the_asker(scene: Scene, answer: object) -> None:
    await asked(scene)
    question = await scene.steer("answer", scene.owner, 2, AnswerNew(answer=answer))
    assert (question.status, question.result, question.attempt) == ("done", answer, 1)
    assert await scene.attempts(2) == [("work", "owner", "completed")]
    claim = await scene.hold(scene.ada)
    assert (claim.claim, claim.children[0].result, claim.children[0].holder) == ("1/2", answer, "owner")
    assert await scene.disagreements() == []


async def test_a_refusal_wakes_the_asker_too(scene: Scene) -> None:
    await asked(scene)
    await scene.steer("cancel", scene.owner, 2, CancelNew(reason="ask somebody else"))
    claim = await scene.hold(scene.ada)
    assert [(child.status, child.result) for child in claim.children] == [("cancelled", None)]


async def test_a_person_may_claim_a_question_as_any_task(scene: Scene) -> None:
    await asked(scene, "paul")
    await scene.complete(scene.paul, (await scene.hold(scene.paul)).claim, "yes")
    assert (await scene.hold(scene.ada)).children[0].result == "yes"


async def test_only_the_one_who_was_asked_answers(scene: Scene) -> None:
    await asked(scene, "paul")
    for actor in (scene.owner, scene.ada):
        with pytest.raises(Forbidden, match="#2 is no question to you"):
            await scene.steer("answer", actor, 2, AnswerNew(answer="yes"))
    assert (await scene.task(1)).status == "blocked"


async def test_an_external_member_answers_nothing(scene: Scene) -> None:
    await scene.create(TaskNew(title="for ada", assignee="ada"))
    with pytest.raises(Forbidden):
        await scene.steer("answer", scene.ada, 1, AnswerNew(answer="yes"))


async def test_answered_twice_it_is_done_once(scene: Scene) -> None:
    await asked(scene)
    await scene.steer("answer", scene.owner, 2, AnswerNew(answer="yes"))
    with pytest.raises(WrongStatus, match="only a question in todo can be answered"):
        await scene.steer("answer", scene.owner, 2, AnswerNew(answer="no"))
    assert (await scene.task(2)).result == "yes"
