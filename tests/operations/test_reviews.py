import pytest

from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.tasks import Claim, TaskNew
from backend.core.errors import Forbidden, LostClaim, WrongStatus
from backend.operations import members
from backend.operations.access import Actor
from tests.operations.scene import Scene


async def handed_in(scene: Scene, review: str = "tester", result: object = "patch") -> None:
    """#1, worked on by ada and in review."""
    await scene.create(TaskNew(title="one", review=review))
    await scene.complete(scene.ada, (await scene.hold(scene.ada, 1)).claim, result)


async def rejected(scene: Scene, note: str = "not yet") -> None:
    """#1 from free over ada's hands to tess's rejection."""
    await scene.complete(scene.ada, (await scene.hold(scene.ada, 1)).claim)
    await scene.held("reject", scene.tess, (await scene.hold(scene.tess, 1)).claim, note=note)


async def told(scene: Scene) -> list[str]:
    """What the server has told the owner."""
    return [message.body for message in (await scene.inbox(scene.owner)).items if message.sender is None]


async def second_tester(scene: Scene) -> Actor:
    new = MemberNew(name="tom", role="tester")
    return Actor(member_id=await scene.do(members.add, scene.owner, scene.squad, new), squad_id=scene.squad.id)


async def test_a_result_that_wants_a_review_is_in_review(scene: Scene) -> None:
    await scene.create(TaskNew(title="one", key="one", review="tester"), TaskNew(title="two", depends_on=["one"]))
    task = await scene.complete(scene.ada, (await scene.hold(scene.ada, 1)).claim, "patch")
    assert (task.status, task.result, task.holder, task.lease_ends_at) == ("in_review", "patch", None, None)
    assert (await scene.task(2)).status == "blocked"
    assert await scene.disagreements() == []


async def test_a_review_is_an_attempt_of_its_own(scene: Scene) -> None:
    await handed_in(scene)
    claim = await scene.hold(scene.tess)
    assert (claim.claim, claim.kind, claim.lease_seconds) == ("1/2", "review", 60)
    assert (claim.task.status, claim.task.holder, claim.task.result) == ("in_review", "tess", "patch")
    assert await scene.attempts(1) == [("work", "ada", "completed"), ("review", "tess", None)]


async def test_only_its_role_reviews(scene: Scene) -> None:
    await handed_in(scene, review="tester")
    for actor in (scene.owner, scene.paul):
        assert await scene.claim(actor) is None
        with pytest.raises(Forbidden, match="reviewed by the role tester"):
            await scene.claim(actor, 1)
    assert (await scene.hold(scene.tess)).kind == "review"


async def test_asked_of_no_role_it_is_anybodys(scene: Scene) -> None:
    await handed_in(scene, review="")
    assert (await scene.hold(scene.paul)).kind == "review"


@pytest.mark.parametrize("review", ["backend", ""])
async def test_nobody_reviews_their_own_work(scene: Scene, review: str) -> None:
    await handed_in(scene, review)
    assert await scene.claim(scene.ada) is None
    with pytest.raises(Forbidden, match="your own work"):
        await scene.claim(scene.ada, 1)


async def test_accepted_it_is_done_and_frees_what_waited(scene: Scene) -> None:
    await scene.create(TaskNew(title="one", key="one", review="tester"), TaskNew(title="two", depends_on=["one"]))
    await scene.complete(scene.ada, (await scene.hold(scene.ada, 1)).claim, "patch")
    task = await scene.held("accept", scene.tess, (await scene.hold(scene.tess)).claim)
    assert (task.status, task.result, task.holder) == ("done", "patch", None)
    assert (await scene.task(2)).status == "todo"
    assert await scene.attempts(1) == [("work", "ada", "completed"), ("review", "tess", "accepted")]
    assert await scene.disagreements() == []


async def test_the_next_one_gets_the_workers_name_and_not_the_reviewers(scene: Scene) -> None:
    await scene.create(TaskNew(title="one", key="one", review="tester"), TaskNew(title="two", depends_on=["one"]))
    await scene.complete(scene.ada, (await scene.hold(scene.ada, 1)).claim, "patch")
    await scene.held("accept", scene.tess, (await scene.hold(scene.tess)).claim)
    (dependency,) = (await scene.hold(scene.paul, 2)).dependencies
    assert (dependency.holder, dependency.result) == ("ada", "patch")


async def test_a_note_of_an_acceptance_is_in_the_thread_and_none_is_not(scene: Scene) -> None:
    for number, note in ((1, "well done"), (2, "")):
        await scene.create(TaskNew(title="x", review=""))
        await scene.complete(scene.ada, (await scene.hold(scene.ada, number)).claim)
        await scene.held("accept", scene.tess, (await scene.hold(scene.tess, number)).claim, note=note)
    assert [(message.sender, message.body) for message in await scene.thread(1)] == [("tess", "well done")]
    assert await scene.thread(2) == []


async def test_rejected_it_goes_back_to_the_same_member_with_the_note(scene: Scene) -> None:
    await handed_in(scene)
    task = await scene.held("reject", scene.tess, (await scene.hold(scene.tess)).claim, note="a test is missing")
    assert (task.status, task.assignee, task.rejections, task.tries_left) == ("todo", "ada", 1, 3)
    (note,) = await scene.thread(1)
    assert (note.sender, note.body, note.recipients) == ("tess", "a test is missing", ["ada", "owner"])
    assert await scene.claim(scene.tess) is None
    assert (await scene.hold(scene.ada)).claim == "1/3"
    assert await scene.disagreements() == []


async def test_it_goes_back_to_nobody_who_has_left(scene: Scene) -> None:
    await handed_in(scene)
    claim = await scene.hold(scene.tess)
    await scene.do(members.retire, scene.owner, scene.squad, "ada")
    assert (await scene.held("reject", scene.tess, claim.claim, note="no")).assignee is None


async def test_after_three_rejections_the_owner_is_told_once(scene: Scene) -> None:
    await scene.create(TaskNew(title="one", review="tester"))
    heard = []
    for _ in range(4):
        await rejected(scene)
        heard.append(len(await told(scene)))
    assert heard == [0, 0, 1, 1]
    assert await told(scene) == ["#1 was rejected 3 times; look at it, or give it to somebody else."]
    assert await scene.disagreements() == []


async def test_retried_it_may_be_rejected_three_times_again(scene: Scene) -> None:
    await scene.create(TaskNew(title="one", review="tester"))
    for _ in range(2):
        await rejected(scene)
    await scene.fail(scene.ada, (await scene.hold(scene.ada)).claim)
    assert (await scene.steer("retry", scene.owner, 1)).rejections == 0
    await rejected(scene)
    assert await told(scene) == []


async def test_a_lapsed_review_is_free_for_another_and_costs_no_try(scene: Scene) -> None:
    await handed_in(scene)
    claim = await scene.hold(scene.tess)
    await scene.end_lease(1)
    assert await scene.lapse() == 1
    task = await scene.task(1)
    assert (task.status, task.holder, task.tries_left, task.result) == ("in_review", None, 3, "patch")
    assert (await scene.attempts(1))[-1] == ("review", "tess", "lapsed")
    with pytest.raises(LostClaim):
        await scene.held("accept", scene.tess, claim.claim)
    assert (await scene.hold(await second_tester(scene))).claim == "1/3"
    assert await scene.disagreements() == []


async def test_a_released_review_is_free_for_another_and_costs_no_try(scene: Scene) -> None:
    await handed_in(scene)
    task = await scene.held("release", scene.tess, (await scene.hold(scene.tess)).claim, reason="busy")
    assert (task.status, task.holder, task.tries_left, task.result) == ("in_review", None, 3, "patch")
    assert (await scene.attempts(1))[-1] == ("review", "tess", "released")
    assert (await scene.hold(await second_tester(scene))).kind == "review"
    assert await scene.disagreements() == []


@pytest.mark.parametrize("verb", ["accept", "reject"])
async def test_work_is_neither_accepted_nor_rejected_by_who_does_it(scene: Scene, verb: str) -> None:
    await scene.create(TaskNew(title="one", review=""))
    claim: Claim = await scene.hold(scene.ada)
    with pytest.raises(WrongStatus, match="#1 is in progress; this is for in review"):
        await scene.held(verb, scene.ada, claim.claim, note="fine")
    assert await scene.thread(1) == []
