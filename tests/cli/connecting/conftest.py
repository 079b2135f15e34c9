"""A folder to work in and a home of one's own, in which no client is set up yet."""

import json
import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentsquad.cli.connecting.clients import CLIENTS, Name
from tests.cli.conftest import refused, say, site, typed, web

__all__ = ["refused", "say", "site", "typed", "web"]
Say = Callable[..., str]
Refused = Callable[..., str]
ASQ = str(Path(sys.executable).with_name("asq"))


@dataclass(frozen=True)
class Desk:
    """Where somebody works.

    Args:
        folder: the project.
        user: the home folder.
    """

    folder: Path
    user: Path

    def file(self, name: Name) -> Path:
        """Where a client looks for its servers."""
        return CLIENTS[name].place(self.folder)

    def servers(self, name: Name) -> dict[str, Any]:
        """The servers that a client finds."""
        text = self.file(name).read_text(encoding="utf-8")
        data = tomllib.loads(text) if name is Name.CODEX else json.loads(text)
        found: dict[str, Any] = data[CLIENTS[name].path[0]]
        return found

    def files(self) -> dict[str, bytes]:
        """All that is in both."""
        return {
            str(file.relative_to(root)): file.read_bytes()
            for root in (self.folder, self.user)
            for file in sorted(root.rglob("*"))
            if file.is_file()
        }

    def folders(self) -> list[Path]:
        """The folders in both."""
        return [each for root in (self.folder, self.user) for each in root.rglob("*") if each.is_dir()]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A project whose path has blanks and more, no client's command on the PATH, and a home of one's own."""
    desk = Desk(tmp_path / "pro ject é'", tmp_path / "us er")
    desk.folder.mkdir()
    desk.user.mkdir()
    monkeypatch.chdir(desk.folder)
    monkeypatch.setenv("HOME", str(desk.user))
    monkeypatch.delenv("CODEX_HOME", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return desk


CLAUDE = """#!{python}
import json, pathlib, sys
state = pathlib.Path({state!r})
servers = json.loads(state.read_text()) if state.exists() else {{}}
_, verb, *rest = sys.argv[1:]
scope = rest[rest.index("--scope") + 1]
assert scope == "local"
if verb == "add":
    before, command = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
    assert before[:4] == ["--transport", "stdio", "--scope", "local"]
    name, env = before[4], before[5:]
    assert env[::2] == ["--env"] * (len(env) // 2)
    if name in servers:
        sys.exit(f"MCP server {{name}} already exists in local config")
    environment = dict(each.split("=", 1) for each in env[1::2])
    servers[name] = {{"command": command[0], "args": command[1:], "env": environment}}
    print(f"Added stdio MCP server {{name}}")
elif rest[-1] not in servers:
    sys.exit(f"No MCP server found with name: {{rest[-1]}}")
else:
    del servers[rest[-1]]
state.write_text(json.dumps(servers))
"""


@dataclass(frozen=True)
class Claude:
    """A stand-in for the command of Claude Code."""

    program: Path
    state: Path

    @property
    def servers(self) -> dict[str, Any]:
        """What it keeps."""
        found: dict[str, Any] = json.loads(self.state.read_text()) if self.state.exists() else {}
        return found

    def write(self, script: str) -> None:
        """Let it be another program."""
        self.program.write_text(script, encoding="utf-8")
        self.program.chmod(0o755)


@pytest.fixture
def claude(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Claude:
    """The command of Claude Code on the PATH: it takes and refuses what its documentation says."""
    claude = Claude(tmp_path / "bin" / "claude", tmp_path / "claude.json")
    claude.program.parent.mkdir()
    claude.write(CLAUDE.format(python=sys.executable, state=str(claude.state)))
    monkeypatch.setenv("PATH", f"{claude.program.parent}:{os.environ['PATH']}")
    return claude
