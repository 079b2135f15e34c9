"""`asq member …`, `asq pause` and `asq resume`."""

import re
from collections.abc import Callable
from pathlib import Path

from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.members import Member, Token
from agentsquad.schemas.users import KeySecret
from tests.cli.conftest import Type

Say = Callable[..., str]
Refused = Callable[..., str]


def test_members_are_added_listed_and_retired(say: Say) -> None:
    assert say("member", "add", "tess", "--role", "reviewer") == "tess joined as reviewer"
    say("task", "create", "Cart is lost")
    say("task", "claim", "--as", "ada")
    assert say("member", "retire", "tess") == "tess is retired"
    assert re.sub(r"\d s ago", "… s ago", say("member", "list", COLUMNS="80")) == (
        "name   kind      role      model  state    last seen  holds\n"
        "ada    external  tester           active   … s ago    #1\n"
        "owner  person                     active   … s ago\n"
        "tess   external  reviewer         retired  never"
    )  # fmt: skip


def test_a_pause_says_what_ended(say: Say, refused: Refused) -> None:
    say("task", "create", "Cart is lost")
    say("task", "claim", "--as", "ada")
    assert say("pause", "ada", "--now") == "ada paused; #1 attempt 1 ended"
    assert refused(5, "task", "claim", "1", "--as", "ada") == "ada is paused; the owner can resume it."
    assert say("resume", "ada") == "ada goes on"
    assert say("member", "pause", "ada") == "ada paused"
    assert say("member", "resume", "ada") == "ada goes on"


def test_a_token_opens_the_squad_until_it_is_revoked(say: Say, typed: Type, refused: Refused, web: str) -> None:
    made = say("member", "token", "ada", "--for", "laptop")
    secret, hint = made.splitlines()
    assert "it is shown only once" in hint
    assert say("whoami", SQUAD_TOKEN=secret, COLUMNS="200").endswith(f"`ada` in {web} (external, tester), 0 unread")
    (token,) = [Token(**each) for each in typed("member", "tokens", "ada", "--json").json]
    assert token.name == "laptop"
    assert say("member", "revoke", "ada", str(token.id)) == "Revoked."
    assert say("member", "tokens", "ada").splitlines()[1].split()[-2:] == ["revoked", "laptop"]


def test_programs_get_the_schemas(say: Say, typed: Type) -> None:
    assert Member(**typed("member", "add", "tess", "--json").json).kind == "external"
    assert [Member(**each).name for each in typed("member", "list", "--json").json] == ["ada", "owner", "tess"]
    assert KeySecret(**typed("member", "token", "ada", "--json").json).secret.startswith("sqm_")
    assert Member(**typed("member", "edit", "ada", "--role", "", "--json").json).role == ""


def test_a_hosted_member_is_run_as_one_says(say: Say, typed: Type) -> None:
    local = "http://localhost:11434/v1"
    said = say("member", "add", "hal", "--role", "writer", "--model", "ollama:qwen3", "--base-url", local)
    assert said == f"hal joined as writer; the server runs it with ollama:qwen3 at {local}"
    assert re.split(" {2,}", say("member", "list", COLUMNS="120").splitlines()[2])[:5] == [
        "hal", "hosted", "writer", f"ollama:qwen3 at {local}", "active",
    ]  # fmt: skip
    tools = ("--tool", "files=http://[::1]:80/a=b", "--tool", "web=https://example.com")
    say(
        "member",
        "edit",
        "hal",
        "--temperature",
        "0",
        "--max-tokens",
        "9",
        "--timeout",
        "60",
        "--window",
        "4096",
        *tools,
    )
    say("member", "edit", "hal", "--instructions", "Be brief.\x1b[2J", "--model", "x:y")
    assert say("member", "show", "hal") == (
        "hal: hosted, writer, active, last seen never\n"
        f"model x:y at {local}: temperature 0.0, max tokens 9, timeout 60, window 4096\n"
        "tools of files at http://[::1]:80/a=b\ntools of web at https://example.com\n"
        "Be brief.�[2J"
    )
    say("member", "edit", "hal", "--base-url", "", "--tool", "")
    hosting = Member(**typed("member", "show", "hal", "--json").json).hosting
    assert hosting
    assert (hosting.model, hosting.base_url, hosting.tools, hosting.settings.window) == ("x:y", None, [], 4096)
    assert say("member", "edit", "hal", "--no-hosting", "--model", "z") == "hal is writer; the server runs it with z"
    assert Member(**typed("member", "show", "hal", "--json").json).hosting == Hosting(model="z")


def test_a_hosted_member_without_a_model_is_run_by_nobody(say: Say, typed: Type) -> None:
    remedy = "; nobody runs it until it has a model: asq member edit hal --model default"
    assert say("member", "add", "hal", "--kind", "hosted") == f"hal joined as hosted{remedy}"
    assert say("member", "edit", "hal", "--model", "default") == "hal is of no role; the server runs it with default"
    assert say("member", "edit", "hal", "--no-hosting") == f"hal is of no role{remedy}"
    assert say("member", "add", "ben", "--hosted") == "ben joined as hosted; the server runs it with default"
    assert [Member(**typed("member", "show", name, "--json").json).hosting for name in ("hal", "ben", "ada")] == [
        None, Hosting(), None,
    ]  # fmt: skip
    assert (
        re.sub(r"\d s ago", "never", say("member", "show", "ada")) == "ada: external, tester, active, last seen never"
    )


def test_what_no_member_can_be_run_with(refused: Refused) -> None:
    assert refused(2, "member", "edit", "ada", "--model", "x") == (
        "The server runs hosted members only; add one of the kind hosted."
    )
    assert refused(2, "member", "add", "x", "--user", "owner@localhost", "--model", "x").startswith("The server runs")
    for option, value, field in (
        ("--base-url", "http://me:secret@localhost", "base_url"), ("--model", "", "model"),
        ("--temperature", "3", "temperature"), ("--temperature", "nan", "temperature"), ("--timeout", "0", "timeout"),
        ("--tool", "a=localhost", "tools.0.url"), ("--tool", "https://localhost", "tool"),
    ):  # fmt: skip
        said = refused(2, "member", "add", "x", option, value)
        assert said.startswith(f"{field} can't be used: ")
        assert "secret" not in said
    assert refused(3, "member", "edit", "nobody", "--model", "x") == "Member not found"
    assert refused(3, "member", "show", "nobody") == "Member not found"


def test_instructions_come_from_a_file(say: Say, typed: Type, tmp_path: Path) -> None:
    (tmp_path / "how").write_text("Test twice.", encoding="utf-8")
    assert say("member", "edit", "ada", "--instructions", f"@{tmp_path}/how", "--name", "lovelace") == (
        "lovelace is tester"
    )
    assert typed("member", "list", "--json").json[0]["instructions"] == "Test twice."


def test_refusals(refused: Refused) -> None:
    assert refused(5, "member", "add", "ada") == "There is a member ada already."
    assert refused(2, "member", "add", "me").endswith(".")
    assert refused(2, "member", "add", "x", "--kind", "robot").startswith("kind can't be used: ")
    assert refused(2, "member", "add", "x", "--user", "no@example.com") == (
        "no@example.com has no account; an administrator makes one."
    )
    assert refused(3, "member", "retire", "nobody") == "Member not found"
    assert refused(4, "member", "retire", "owner").startswith("A squad's owner can't be retired")
    assert refused(3, "task", "claim", "--as", "nobody") == "Member not found"
    assert refused(3, "member", "revoke", "ada", "no-id") == "Token not found"
