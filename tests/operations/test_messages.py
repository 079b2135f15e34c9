from typing import Any

import pytest

from agentsquad.schemas.members import Me, MemberNew
from agentsquad.schemas.messages import AcknowledgeNew, MessageNew, Messages, MessageSent, ReadNew, Unread
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import (
    CancelNew,
    CompleteNew,
    FailNew,
    Heartbeats,
    HeartbeatsNew,
    ReleaseNew,
    TaskEdit,
    TaskNew,
    TasksMade,
    WaitNew,
)
from backend.core.errors import Forbidden, Invalid, LostClaim, NotFound
from backend.operations import members, messages, squads, tasks
from backend.operations.access import Actor, MemberRef, SquadRef
from tests.operations.scene import Scene


async def recipients(scene: Scene, position: int) -> list[str]:
    """Who got it."""
    page = await scene.read(messages.page(), scene.owner, scene.squad, position - 1, 1)
    (message,) = Messages.model_validate(page).items
    assert message.position == position
    return message.recipients


async def read(scene: Scene, actor: Actor, up_to: int, member: str = "me") -> int:
    body = await scene.do(messages.mark_read, actor, scene.squad, member, ReadNew(up_to=up_to))
    return Unread.model_validate_json(body).unread


async def acknowledge(scene: Scene, actor: Actor, *positions: int, member: str = "me") -> int:
    given = AcknowledgeNew(messages=list(positions))
    body = await scene.do(messages.acknowledge, actor, scene.squad, member, given)
    return Unread.model_validate_json(body).unread


# who gets it


async def test_to_a_member_it_is_that_ones(scene: Scene) -> None:
    position = await scene.send(scene.ada, to="tess", body="hello")
    assert await recipients(scene, position) == ["tess"]
    (received,) = (await scene.inbox(scene.tess)).items
    assert (received.position, received.sender, received.to, received.task) == (position, "ada", "tess", None)
    assert (received.body, received.read_at, received.acknowledged_at) == ("hello", None, None)
    for actor in (scene.ada, scene.owner, scene.paul):
        assert (await scene.inbox(actor)).items == []
    event = (await scene.log())[-1]
    assert (event["position"], event["kind"], event["data"]["recipients"]) == (position, "message.sent", ["tess"])
    assert await scene.disagreements() == []


async def test_to_all_it_is_everybodys_but_the_senders(scene: Scene) -> None:
    assert await recipients(scene, await scene.send(scene.ada, all=True)) == ["owner", "paul", "tess"]


async def test_a_retired_member_gets_nothing(scene: Scene) -> None:
    await scene.create(TaskNew(title="one", assignee="tess"))
    await scene.send(scene.tess, task=1)
    await scene.do(members.retire, scene.owner, scene.squad, "tess")
    assert await recipients(scene, await scene.send(scene.ada, all=True)) == ["owner", "paul"]
    assert await recipients(scene, await scene.send(scene.ada, task=1)) == ["owner"]


async def test_to_oneself_it_is_nobodys(scene: Scene) -> None:
    assert await recipients(scene, await scene.send(scene.ada, to="ada")) == []


async def test_a_thread_is_for_who_made_the_task_holds_it_or_shall_do_it(scene: Scene) -> None:
    await scene.create(TaskNew(title="one"), by=scene.ada)
    assert await recipients(scene, await scene.send(scene.owner, task=1)) == ["ada"]
    await scene.hold(scene.tess)
    assert await recipients(scene, await scene.send(scene.owner, task=1)) == ["ada", "tess"]
    await scene.steer("update", scene.owner, 1, TaskEdit(assignee="paul"))
    assert await recipients(scene, await scene.send(scene.owner, task=1)) == ["ada", "paul", "tess"]


async def test_and_for_who_wrote_there(scene: Scene) -> None:
    await scene.create("one")
    await scene.send(scene.paul, task=1)
    assert await recipients(scene, await scene.send(scene.owner, task=1)) == ["paul"]
    assert await recipients(scene, await scene.send(scene.paul, task=1)) == ["owner"]
    assert [message.sender for message in await scene.thread(1)] == ["paul", "owner", "paul"]


async def test_threads_are_apart(scene: Scene) -> None:
    await scene.create("one", "two")
    await scene.send(scene.ada, task=1, body="first")
    await scene.send(scene.ada, task=2, body="second")
    await scene.send(scene.ada, all=True, body="third")
    assert [message.body for message in await scene.thread(1)] == ["first"]
    page = await scene.read(messages.page(), scene.tess, scene.squad, 0, 50)
    assert [message.body for message in Messages.model_validate(page).items] == ["first", "second", "third"]


async def test_to_one_member_in_a_thread(scene: Scene) -> None:
    await scene.create(TaskNew(title="one"), by=scene.ada)
    sent = await scene.send(scene.owner, to="tess", task=1)
    assert await recipients(scene, sent) == ["tess"]
    assert len(await scene.thread(1)) == 1


# what is refused


@pytest.mark.parametrize(
    "given",
    [
        {}, {"to": "tess", "task": 1, "all": True}, {"to": "tess", "all": True}, {"task": 1, "all": True},
        {"to": "nobody"}, {"to": "gone"}, {"to": "kim"}, {"task": 99},
    ],
)  # fmt: skip
async def test_a_recipient_has_to_be_there_and_of_one_kind(scene: Scene, given: dict[str, Any]) -> None:
    await scene.create("one")
    await scene.do(members.add, scene.owner, scene.squad, MemberNew(name="gone"))
    await scene.do(members.retire, scene.owner, scene.squad, "gone")
    garden = SquadRef(await scene.do(squads.create, scene.eve, SquadNew(name="garden")), None)
    await scene.do(members.add, scene.eve, garden, MemberNew(name="kim"))
    before = await scene.tables()
    with pytest.raises(Invalid):
        await scene.send(scene.ada, **given)
    assert await scene.tables() == before


async def test_a_claim_that_is_given_has_to_be_live(scene: Scene) -> None:
    await scene.create("one")
    claim = (await scene.hold(scene.ada)).claim
    await scene.send(scene.ada, all=True, claim=claim)
    before = await scene.log()
    with pytest.raises(LostClaim, match="held by ada"):
        await scene.send(scene.tess, all=True, claim=claim)
    await scene.end_lease(1)
    with pytest.raises(LostClaim, match="is over"):
        await scene.send(scene.ada, all=True, claim=claim)
    with pytest.raises(LostClaim):
        await scene.do(tasks.create, scene.ada, scene.squad, [TaskNew(title="x")], claim)
    with pytest.raises(NotFound):
        await scene.send(scene.ada, all=True, claim="9/1")
    assert await scene.log() == before
    await scene.send(scene.ada, all=True)


# the inbox


async def test_an_inbox_goes_on_behind_a_position(scene: Scene) -> None:
    sent = [await scene.send(scene.ada, to="tess", body=f"{n}") for n in range(5)]
    first = await scene.inbox(scene.tess, limit=2)
    assert ([item.position for item in first.items], first.unread) == (sent[:2], 5)
    assert first.next is not None
    second = await scene.inbox(scene.tess, after=int(first.next), limit=2)
    assert [item.position for item in second.items] == sent[2:4]
    last = await scene.inbox(scene.tess, after=sent[3], limit=2)
    assert ([item.position for item in last.items], last.next) == (sent[4:], None)


async def test_what_was_read_is_left_out_on_request(scene: Scene) -> None:
    sent = [await scene.send(scene.ada, to="tess") for _ in range(3)]
    log = await scene.log()
    assert await read(scene, scene.tess, sent[1]) == 1
    assert [item.position for item in (await scene.inbox(scene.tess, "unread")).items] == sent[2:]
    everything = await scene.inbox(scene.tess)
    assert [item.read_at is None for item in everything.items] == [False, False, True]
    assert everything.unread == 1
    assert await scene.log() == log


async def test_read_again_it_was_read_at_the_first_time(scene: Scene) -> None:
    sent = await scene.send(scene.ada, to="tess")
    await read(scene, scene.tess, sent)
    before = await scene.inbox(scene.tess)
    assert await read(scene, scene.tess, sent + 100) == 0
    assert await scene.inbox(scene.tess) == before


async def test_each_recipient_reads_for_itself(scene: Scene) -> None:
    sent = await scene.send(scene.ada, all=True)
    await read(scene, scene.tess, sent)
    assert (await scene.inbox(scene.tess)).unread == 0
    assert (await scene.inbox(scene.paul)).unread == 1


async def test_acknowledged_is_read_too_and_an_event(scene: Scene) -> None:
    first, second = [await scene.send(scene.ada, to="tess") for _ in range(2)]
    assert await acknowledge(scene, scene.tess, second, second) == 1
    other, item = (await scene.inbox(scene.tess)).items
    assert item.acknowledged_at is not None
    assert (item.read_at, other.read_at, other.acknowledged_at) == (item.acknowledged_at, None, None)
    event = (await scene.log())[-1]
    assert (event["kind"], event["data"]["message"], event["data"]["member"]) == (
        "message.acknowledged", second, "tess",
    )  # fmt: skip
    assert await acknowledge(scene, scene.tess, first, second) == 0
    assert (await scene.kinds()).count("message.acknowledged") == 2
    assert await scene.disagreements() == []


async def test_acknowledged_twice_nothing_changes(scene: Scene) -> None:
    sent = await scene.send(scene.ada, to="tess")
    await acknowledge(scene, scene.tess, sent)
    before = await scene.tables(), await scene.log()
    await acknowledge(scene, scene.tess, sent)
    assert (await scene.tables(), await scene.log()) == before


async def test_what_is_not_in_the_inbox_is_not_acknowledged(scene: Scene) -> None:
    mine, others = await scene.send(scene.ada, to="tess"), await scene.send(scene.ada, to="paul")
    for unknown in (others, 1, others + 1):
        with pytest.raises(NotFound, match=f"There is no message {unknown} in the inbox of tess"):
            await acknowledge(scene, scene.tess, mine, unknown)
    assert (await scene.inbox(scene.tess)).unread == 1
    assert await scene.disagreements() == []


@pytest.mark.parametrize("mark", [read, acknowledge])
async def test_nobody_marks_what_is_another_members(scene: Scene, mark: Any) -> None:
    sent = await scene.send(scene.ada, to="tess")
    for actor in (scene.owner, scene.paul, scene.ada):
        with pytest.raises(Forbidden, match="Only the member itself"):
            await mark(scene, actor, sent, member="tess")
    assert (await scene.inbox(scene.tess)).unread == 1
    assert await mark(scene, scene.tess, sent, member="tess") == 0


async def test_one_is_meant_by_name_by_id_and_as_me(scene: Scene) -> None:
    sent = await scene.send(scene.ada, to="tess")
    for member in ("me", "tess", str(scene.tess.member_id)):
        assert await read(scene, scene.tess, sent, member=member) == 0


async def test_all_of_the_squad_read_an_inbox(scene: Scene) -> None:
    await scene.send(scene.ada, to="tess")
    for ref in (MemberRef(None, "tess"), MemberRef(scene.tess.member_id, None)):
        found = await scene.read(messages.inbox(), scene.paul, scene.squad, ref, 0, 50)
        assert found is not None
        assert len(found["items"]) == 1


# how many wait


async def test_me_says_who_one_is_what_waits_and_what_one_holds(scene: Scene) -> None:
    await scene.create(*"abc")
    await scene.hold(scene.ada, 3)
    await scene.hold(scene.ada, 1)
    await scene.send(scene.tess, to="ada")
    me = Me.model_validate(await scene.read(members.me, scene.ada, scene.squad))
    assert (me.name, me.role, me.is_owner, me.unread, me.claims) == ("ada", "backend", False, 1, ["1/1", "3/1"])
    owner = Me.model_validate(await scene.read(members.me, scene.owner, scene.squad))
    assert (owner.name, owner.is_owner, owner.unread, owner.claims) == ("owner", True, 0, [])


async def test_each_operation_says_how_many_messages_wait(scene: Scene) -> None:
    await scene.create(*"abcde")
    await scene.send(scene.owner, to="ada")
    await scene.send(scene.owner, to="ada")

    async def unread(operation: Any, *args: Any) -> int:
        return int(Unread.model_validate_json(await scene.do(operation, scene.ada, scene.squad, *args)).unread)

    made = TasksMade.model_validate_json(await scene.do(tasks.create, scene.ada, scene.squad, [TaskNew(title="x")]))
    assert made.unread == 2
    assert await unread(tasks.claim, None, 5) == 2
    beats = await scene.do(tasks.heartbeat_all, scene.ada, scene.squad, HeartbeatsNew(claims=["1/1"]))
    assert Heartbeats.model_validate_json(beats).unread == 2
    assert (await scene.heartbeat(scene.ada, "1/1")).unread == 2
    assert (await scene.ask(scene.ada, "1/1")).task.unread == 2
    given: list[tuple[Any, ...]] = [
        (tasks.complete, 2, CompleteNew(claim="2/1")),
        (tasks.fail, 3, FailNew(claim="3/1", reason="no")),
        (tasks.release, 4, ReleaseNew(claim="4/1")),
        (tasks.wait_for_children, 5, WaitNew(claim="5/1")),
        (tasks.update, 6, TaskEdit(title="y")),
        (tasks.add_dependency, 6, 4),
        (tasks.remove_dependency, 6, 4),
        (tasks.cancel, 6, CancelNew()),
        (tasks.retry, 6),
    ]
    assert [await unread(operation, *args) for operation, *args in given] == [2] * len(given)


async def test_who_sends_hears_it_too(scene: Scene) -> None:
    await scene.send(scene.owner, to="ada")
    position, sender = await scene.do(messages.send, scene.ada, scene.squad, MessageNew(to="tess", body="hello"))
    sent = MessageSent.model_validate(await scene.read(messages.sent, scene.ada, scene.squad, position, sender))
    assert (sent.body, sent.recipients, sent.unread) == ("hello", ["tess"], 1)
