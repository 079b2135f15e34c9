"""docs/connect.md: every block is what `asq connect` says, in the keys that the clients' makers publish."""

import datetime as dt
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from agentsquad.cli.connecting import claude, setups
from agentsquad.cli.connecting.bridge import SERVER, Bridge
from agentsquad.cli.connecting.clients import CLIENTS, TASK, Name, hooks_file
from tests.docs.test_guides import REPOSITORY, Block, blocks

DOCUMENT: Final = REPOSITORY / "docs" / "connect.md"
TEXT: Final = DOCUMENT.read_text("utf-8")
FOLDER: Final = Path("/home/me/shop")
BRIDGE: Final = Bridge("/home/me/.local/bin/asq", "0193b2c4-7d1e-7a55-9c31-5f0e8a7d2b10", "tess", {})
KEYS: Final = {  # of a server that is a local command
    Name.CLAUDE_CODE: {"type", "command", "args", "env", "timeout"},
    Name.CODEX: {
        "command", "args", "env", "env_vars", "cwd", "startup_timeout_sec", "tool_timeout_sec", "enabled", "required",
        "enabled_tools", "disabled_tools",
    },
    Name.CURSOR: {"type", "command", "args", "env", "envFile"},
    Name.GEMINI: {
        "command", "args", "env", "cwd", "type", "timeout", "trust", "description", "includeTools", "excludeTools"
    },
    Name.VSCODE: {"type", "command", "args", "env", "envFile"},
}  # fmt: skip
HANDLER: Final = {"type", "command", "args", "timeout", "statusMessage", "async", "asyncRewake", "shell", "if", "once"}


def section(name: Name) -> list[Block]:
    """The blocks under a client's heading."""
    body = TEXT.partition(f"\n### {CLIENTS[name].title}\n")[2]
    return list(blocks(DOCUMENT, re.split(r"\n##+ ", body)[0]))


def unfit(name: Name, server: dict[str, Any]) -> set[str]:
    """What its maker doesn't publish."""
    return set(server) - KEYS[name] | {"command", "args"} - set(server)


@pytest.mark.parametrize("name", Name, ids=lambda name: name.value)
def test_each_block_is_what_the_command_says(name: Name) -> None:
    setup = setups.Setup(name, FOLDER, BRIDGE)
    language = "toml" if name is Name.CODEX else "json"
    first = next(block for block in section(name) if block.language == language)
    assert first.code == setups.snippet(setup, SERVER) + "\n"
    data = tomllib.loads(first.code) if language == "toml" else json.loads(first.code)
    (kind,) = data
    assert kind == CLIENTS[name].path[0]
    assert unfit(name, data[kind][SERVER]) == set()


def test_a_key_that_nobody_publishes_is_found() -> None:
    server = CLIENTS[Name.CODEX].entry(BRIDGE)
    assert unfit(Name.CODEX, server | {"type": "stdio"}) == {"type"}
    assert unfit(Name.VSCODE, {"type": "stdio", "command": "asq"}) == {"args"}


def test_the_command_and_the_hooks_of_claude_code() -> None:
    line, _, hooks = section(Name.CLAUDE_CODE)
    assert shlex.split(line.code) == claude.adding(BRIDGE, SERVER)
    said = setups.blocks(setups.Setup(Name.CLAUDE_CODE, FOLDER, BRIDGE))[-1]
    assert (said.where, f"{said.text}\n") == (hooks_file(FOLDER), hooks.code)
    for groups in json.loads(hooks.code)["hooks"].values():
        for group in groups:
            assert set(group) <= {"matcher", "hooks"}
            for handler in group["hooks"]:
                assert set(handler) <= HANDLER
                assert handler["type"] == "command"


def test_the_table_names_each_client_its_file_and_a_dated_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODEX_HOME", raising=False)
    rows = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("| `")]
    assert [row[0].strip(" `") for row in rows] == [name.value for name in Name]
    for name, (_, file, source, read) in zip(Name, rows, strict=True):
        place = CLIENTS[name].place(FOLDER)
        there = f"~/{place.relative_to(Path.home())}" if name is Name.CODEX else str(place.relative_to(FOLDER))
        assert f"`{there}`" in file
        assert re.findall(r"<https://[^>]+>", source)
        assert dt.date.fromisoformat(read.strip()).year >= 2026


def test_what_to_do_then_is_said_for_each() -> None:
    told = " ".join(TEXT.split())
    assert TASK in told
    for client in CLIENTS.values():
        doing = client.then.partition(", and ")[0].replace("/mcp", "`/mcp`")
        assert f"Then {doing[0].lower()}{doing[1:]}" in told, client.title
