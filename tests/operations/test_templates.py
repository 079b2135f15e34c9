import re

import pytest

from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.squads import Squad, SquadNew, Template
from backend.core.errors import Invalid
from backend.operations import squads, templates
from backend.operations.access import SquadRef
from tests.operations.scene import Scene

LABELS = ["Aim", "Read first", "Hand in", "Ask", "Hand off", "Never"]
NAMES = ["research", "software_dev", "writing"]
EVERY = [(template, member) for template in templates.every().items for member in template.members]


def test_there_are_three() -> None:
    assert [template.name for template in templates.every().items] == NAMES
    assert len(templates.get("software_dev").members) + len(["owner"]) == 7


@pytest.mark.parametrize(("template", "member"), EVERY, ids=lambda item: item.name)
def test_a_roles_instructions_say_what_they_have_to(template: Template, member: MemberNew) -> None:
    assert 150 <= len(member.instructions.split()) <= 400
    assert re.findall(r"^([A-Z][a-z ]+):", member.instructions, re.MULTILINE) == LABELS
    assert member.kind == "hosted"
    assert member.role


@pytest.mark.parametrize("name", NAMES)
def test_no_two_members_are_alike(name: str) -> None:
    found = templates.get(name).members
    assert len({member.name for member in found} | {squads.FIRST_MEMBER}) == len(found) + 1
    assert len({member.instructions for member in found}) == len(found)


@pytest.mark.parametrize("name", NAMES)
async def test_a_squad_is_made_from_each(scene: Scene, name: str) -> None:
    made = await scene.do(squads.create, scene.eve, SquadNew(name="new", template=name))
    squad = Squad.model_validate(await scene.read(squads.get, scene.eve, SquadRef(made, None)))
    found = {member.name: (member.kind, member.role, member.instructions) for member in squad.members}
    assert found.pop("owner") == ("person", "", "")
    assert found == {
        member.name: (member.kind, member.role, member.instructions) for member in templates.get(name).members
    }


async def test_the_log_tells_of_all_its_members(scene: Scene) -> None:
    made = await scene.do(squads.create, scene.owner, SquadNew(name="new", template="software_dev"))
    scene.squad = SquadRef(made, None)
    assert await scene.kinds() == ["squad.created", *["member.added"] * 7]
    assert await scene.disagreements() == []


async def test_an_unknown_one_makes_nothing(scene: Scene) -> None:
    with pytest.raises(Invalid, match="There is no template nonsense; there are research, software_dev, writing"):
        await scene.do(squads.create, scene.eve, SquadNew(name="new", template="nonsense"))
    assert await scene.read(squads.get, scene.eve, SquadRef(None, "new")) is None
