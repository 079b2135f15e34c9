"""Claude Code: its own command where there is one, and the hooks."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentsquad.cli.connecting.clients import Name
from agentsquad.client import Client
from tests.cli.conftest import Type
from tests.cli.connecting.conftest import ASQ, Claude, Desk, Refused, Say

HOOKS = Path(".claude") / "settings.local.json"


def hooks(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((desk.folder / HOOKS).read_text())
    return found


def test_the_command_is_said_and_typed(say: Say, desk: Desk, claude: Claude) -> None:
    said = say("connect", "claude-code", "--as", "ada")
    (line,) = [line for line in said.splitlines() if line.startswith("claude mcp add ")]
    assert claude.servers == {}
    subprocess.run(shlex.split(line), check=True, capture_output=True)
    typed_by_hand = claude.servers
    claude.state.unlink()
    say("connect", "claude-code", "--as", "ada", "--write")
    assert claude.servers == typed_by_hand
    (server,) = claude.servers.values()
    assert server["command"] == ASQ
    assert server["env"] == {"SQUAD_HOME": os.environ["SQUAD_HOME"], "SQUAD_URL": os.environ["SQUAD_URL"]}
    assert not desk.file(Name.CLAUDE_CODE).exists()


def test_it_is_added_once_and_removed_without_a_trace(say: Say, desk: Desk, claude: Claude) -> None:
    for _ in range(2):
        say("connect", "claude-code", "--as", "ada", "--write")
        say("connect", "claude-code", "--as", "tess", "--write")
    assert {name: server["args"][-1] for name, server in claude.servers.items()} == {
        "agentsquad": "ada", "agentsquad-tess": "tess"
    }  # fmt: skip
    for _ in range(2):
        say("connect", "claude-code", "--as", "ada", "--remove")
    assert list(claude.servers) == ["agentsquad-tess"]
    say("connect", "claude-code", "--as", "tess", "--remove")
    assert (claude.servers, desk.files()) == ({}, {})


def test_what_was_removed_by_hand_is_added_anew(say: Say, desk: Desk, claude: Claude) -> None:
    say("connect", "claude-code", "--as", "ada", "--write")
    claude.state.unlink()
    say("connect", "claude-code", "--as", "ada", "--write")
    assert list(claude.servers) == ["agentsquad"]


def test_a_name_that_is_another_s_is_left_to_it(say: Say, desk: Desk, claude: Claude) -> None:
    claude.state.write_text('{"agentsquad": "another\'s"}', encoding="utf-8")
    say("connect", "claude-code", "--as", "ada", "--write")
    assert list(claude.servers) == ["agentsquad", "agentsquad-ada"]
    say("connect", "claude-code", "--as", "ada", "--remove")
    assert claude.servers == {"agentsquad": "another's"}


def test_what_the_command_refuses_is_one_sentence(refused: Refused, desk: Desk, claude: Claude) -> None:
    claude.write("#!/bin/sh\necho 'Sorry,'\necho 'not today.' >&2\nexit 3\n")
    assert refused(1, "connect", "claude-code", "--as", "ada", "--write") == (
        "`claude mcp add` failed: Sorry, not today."
    )
    claude.write("#!/bin/sh\necho already exists\nexit 1\n")
    assert refused(1, "connect", "claude-code", "--as", "ada", "--write").startswith("`claude mcp add` failed: ")


def test_a_command_that_is_gone_is_said_with_what_to_type(
    say: Say, refused: Refused, desk: Desk, claude: Claude
) -> None:
    say("connect", "claude-code", "--as", "ada", "--write")
    assert refused(1, "connect", "claude-code", "--as", "ada", "--remove", PATH="/bin") == (
        "claude is not on the PATH; where it is, run `claude mcp remove --scope local agentsquad` in "
        f"{desk.folder}."
    )  # fmt: skip


def test_hooks_stand_beside_those_of_others(say: Say, desk: Desk) -> None:
    other = {"hooks": [{"type": "command", "command": "echo 'x"}]}
    before = json.dumps({"permissions": {"allow": []}, "hooks": {"Stop": [other], "PreToolUse": []}}, indent=4)
    (desk.folder / HOOKS).parent.mkdir()
    (desk.folder / HOOKS).write_text(before, encoding="utf-8")
    for member in ("ada", "tess", "ada"):
        say("connect", "claude-code", "--as", member, "--write")
    found = hooks(desk)["hooks"]
    assert {event: len(groups) for event, groups in found.items()} == {
        "Stop": 3,
        "PreToolUse": 0,
        "UserPromptSubmit": 2,
    }
    assert found["Stop"][0] == other
    for member in ("tess", "ada"):
        say("connect", "claude-code", "--as", member, "--remove")
    assert (desk.folder / HOOKS).read_text() == before


def test_the_hook_runs_in_a_shell_as_it_stands(say: Say, web: str, desk: Desk) -> None:
    say("connect", "claude-code", "--as", "ada", "--write")
    (handler,) = hooks(desk)["hooks"]["UserPromptSubmit"][0]["hooks"]
    assert handler["type"] == "command"
    with Client() as client:
        client.send("The shop is open.", to="ada")
    environment = {"PATH": "/bin:/usr/bin", "HOME": str(desk.user)}
    done = subprocess.run(
        ["sh", "-c", handler["command"]], input='{"hook_event_name": "UserPromptSubmit"}',
        env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "The shop is open." in json.loads(done.stdout)["hookSpecificOutput"]["additionalContext"]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"hooks": []}', "has hooks that is no object"),
        ('{"hooks": {"Stop": {}}}', "has hooks.Stop that is no list"),
        ('{"hooks": {"Stop": [],}}', "has comments"),
        ("{", "is no JSON"),
    ],
)
def test_hooks_that_cannot_be_written_stop_the_rest(
    content: str, why: str, typed: Type, web: str, desk: Desk, claude: Claude
) -> None:
    (desk.folder / HOOKS).parent.mkdir()
    (desk.folder / HOOKS).write_text(content, encoding="utf-8")
    done = typed("connect", "claude-code", "--as", "ada", "--write")
    assert done.code == 2
    assert why in done.err
    assert claude.servers == {}
