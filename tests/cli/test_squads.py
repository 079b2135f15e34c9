"""`asq squad …` and `asq template …`."""

from collections.abc import Callable

from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.squads import Squad, Template
from tests.cli.conftest import Type

Say = Callable[..., str]
Refused = Callable[..., str]


def test_a_squad_from_a_template_is_described(say: Say, web: str) -> None:
    name = f"shop-{web}"
    assert say("squad", "create", name, "--template", "software_dev") == (
        f"{name}: 7 members; owner@localhost owns it as `owner`. Speak of it with `asq use {name}`."
    )
    assert say("squad", "show", name) == (
        f"{name}: 7 members; owner@localhost owns it as `owner`; active, lease 60 s, 3 tries\n"
        "backend_developer, frontend_developer, lead, owner, reviewer, technical_writer, tester"
    )
    row = next(line for line in say("squad", "list").splitlines() if line.startswith(f"{name} "))
    assert row.split()[:4] == [name, "owner@localhost", "7", "active"]


def test_a_templates_hosted_members_are_run_as_one_says(say: Say, web: str, typed: Type, refused: Refused) -> None:
    name, run = f"news-{web}", ("--model", "openai:gpt-5", "--base-url", "https://example.com/v1")
    assert say("squad", "create", name, "-t", "writing", *run).startswith(f"{name}: 6 members; ")
    squad = Squad(**typed("squad", "show", name, "--json").json)
    hosting = Hosting(model="openai:gpt-5", base_url="https://example.com/v1")
    assert [member.hosting for member in squad.members if member.kind == "hosted"] == [hosting] * 5
    assert refused(2, "squad", "create", f"none-{web}", *run) == (
        "The server runs a template's hosted members; name a template that has some."
    )


def test_a_squad_is_edited_paused_and_archived(say: Say, web: str, refused: Refused) -> None:
    assert say("squad", "edit", "--lease", "30", "--tries", "5") == (
        f"{web}: 2 members; owner@localhost owns it as `owner`; lease 30 s, 5 tries"
    )
    assert say("squad", "pause", "--now") == f"{web} paused; live attempts ended"
    assert say("squad", "resume") == f"{web} goes on"
    assert say("pause") == f"{web} paused"
    assert say("resume") == f"{web} goes on"
    assert say("squad", "archive") == f"{web} is archived; `asq squad unarchive` opens it again"
    assert refused(5, "task", "create", "x").startswith("The squad is archived")
    assert say("squad", "unarchive") == f"{web} is open"
    assert say("squad", "edit", "--name", f"new-{web}").startswith(f"new-{web}: ")


def test_programs_get_the_schemas(web: str, typed: Type) -> None:
    assert Squad(**typed("squad", "show", "--json").json).name == web
    assert web in [Squad(**squad).name for squad in typed("squad", "list", "--json").json]
    assert {"research", "software_dev", "writing"} <= {
        Template(**template).name for template in typed("template", "list", "--json").json
    }
    assert Template(**typed("template", "show", "writing", "--json").json).members


def test_templates_are_listed_and_shown(say: Say) -> None:
    assert say("template", "list") == (
        "name          members  for\n"
        "research      5        Research\n"
        "software_dev  6        Software development\n"
        "writing       5        Writing"
    )  # fmt: skip
    assert "\nlead (lead)\n" in say("template", "show", "software_dev")


def test_refusals(web: str, refused: Refused) -> None:
    assert refused(5, "squad", "create", web) == f"You have a squad {web} already."
    assert refused(3, "squad", "show", "nonesuch") == "Squad not found"
    assert refused(2, "squad", "create", "a b").startswith("name can't be used: letters, digits")
    assert refused(2, "squad", "create", "x" * 65).startswith("name can't be used: ")
    assert refused(2, "squad", "create", "x", "--lease", "0").startswith("lease_seconds can't be used: ")
    assert refused(2, "squad", "create", "x", "-t", "nonesuch").startswith("There is no template nonesuch")
    assert refused(3, "template", "show", "x") == (
        "There is no template x; choose one of research, software_dev, writing."
    )
    assert refused(3, "task", "list", "--squad", "..") == "Squad not found"


def test_a_name_that_is_a_path_is_only_a_name(web: str, typed: Type, refused: Refused) -> None:
    for name in ("..", ".", "%2e%2e", "\udcff"):
        assert refused(3, "member", "pause", name) == "Member not found"
    for name in ("", "../..", "a/../.."):
        assert refused(2, "member", "pause", name) == f'"{name}" is no name and no id; give one of these.'
    assert typed("squad", "show", "--json").json["paused_at"] is None
