"""What the page reads besides the rest: who holds what, what is around a task, what waits for oneself."""

from agentsquad.schemas import limits
from agentsquad.schemas.members import Team
from agentsquad.schemas.messages import Inbox
from agentsquad.schemas.tasks import Relatives, TaskNew, Tasks
from backend.operations import members, messages, tasks
from backend.operations.access import Actor
from tests.operations.scene import MINE, Scene


async def relatives(scene: Scene, number: int, limit: int = 50) -> list[tuple[str, int]]:
    read = await scene.read(tasks.relatives, scene.owner, scene.squad, number, limit)
    return [(other.relation, other.number) for other in Relatives.model_validate(read).items]


async def questions(scene: Scene, actor: Actor, limit: int = 50) -> list[int]:
    read = await scene.read(tasks.questions, actor, scene.squad, limit)
    return [] if read is None else [task.number for task in Tasks.model_validate(read).items]


async def latest(scene: Scene, before: int, limit: int) -> Inbox:
    return Inbox.model_validate(await scene.read(messages.latest, scene.ada, scene.squad, MINE, before, limit))


async def test_a_team_says_who_holds_what_since_when(scene: Scene) -> None:
    await scene.create("one", "two", "three")
    await scene.hold(scene.ada, 2)
    await scene.fail(scene.ada, (await scene.hold(scene.ada, 3)).claim, retry=True)
    await scene.hold(scene.ada, 3)
    await scene.send(scene.ada, to="tess")
    team = Team.model_validate(await scene.read(members.team, scene.owner, scene.squad)).items
    assert [member.name for member in team] == sorted(member.name for member in team)
    holds = {member.name: [(held.number, held.attempt) for held in member.holds] for member in team}
    assert holds == {"ada": [(2, 1), (3, 2)], "owner": [], "paul": [], "tess": []}
    assert {member.name: member.unread for member in team} == {"ada": 0, "owner": 0, "paul": 0, "tess": 1}
    tasks_of_ada = {held.number: held for member in team for held in member.holds}
    for number in (2, 3):
        held, task = tasks_of_ada[number], await scene.task(number)
        assert (held.title, held.since, held.lease_ends_at) == (task.title, task.updated_at, task.lease_ends_at)


async def test_who_was_retired_is_no_longer_in_the_team(scene: Scene) -> None:
    await scene.do(members.retire, scene.owner, scene.squad, "tess")
    team = Team.model_validate(await scene.read(members.team, scene.owner, scene.squad)).items
    assert [member.name for member in team] == ["ada", "owner", "paul"]


async def test_what_is_around_a_task(scene: Scene) -> None:
    await scene.create("one", "two")
    await scene.create(TaskNew(title="three", depends_on=[1, 2]))
    await scene.create(TaskNew(title="four", depends_on=[3]), TaskNew(title="five", parent=3))
    assert await relatives(scene, 3) == [("dependency", 1), ("dependency", 2), ("dependent", 4), ("child", 5)]
    assert await relatives(scene, 5) == [("parent", 3)]
    assert await relatives(scene, 3, limit=1) == [("dependency", 1), ("dependent", 4), ("child", 5)]


async def test_questions_are_free_tasks_of_oneself_and_of_people_only(scene: Scene) -> None:
    await scene.create(*(TaskNew(title="?", assignee=name) for name in ("owner", "owner", "paul", "ada")))
    assert await questions(scene, scene.owner) == [1, 2]
    assert await questions(scene, scene.owner, limit=1) == [1]
    assert await questions(scene, scene.paul) == [3]
    assert await questions(scene, scene.ada) == await questions(scene, scene.eve) == []
    await scene.hold(scene.owner, 1)
    assert await questions(scene, scene.owner) == [2]


async def test_the_newest_messages_come_page_by_page(scene: Scene) -> None:
    sent = [await scene.send(scene.tess, to="ada", body=str(number)) for number in range(5)]
    seen: list[int] = []
    before: str | None = str(limits.POSITION_MAX)
    while before is not None:
        page = await latest(scene, int(before), 2)
        assert page.unread == 5
        seen += [message.position for message in page.items]
        before = page.next
    assert seen == sent[::-1]
