"""The coding agents that are known: where each reads its servers, in which format, and what to type then.

The formats are as their makers published them; docs/connect.md names the sources, and a test compares the two.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from agentsquad.cli.connecting.bridge import Bridge

EVENTS: Final = ("UserPromptSubmit", "Stop")  # when a session of Claude Code is handed its messages
PATIENCE: Final = 10  # seconds after which Claude Code ends the hook; it ends itself long before


class Name(Enum):
    """What a client is called on the command line."""

    CLAUDE_CODE = "claude-code"
    CODEX = "codex"
    CURSOR = "cursor"
    GEMINI = "gemini"
    VSCODE = "vscode"


@dataclass(frozen=True)
class Client:
    """A coding agent.

    Args:
        title: what its makers call it.
        place: the file in which it looks for servers, from the folder where one works.
        path: where they stand in it, by name.
        transport: whether an entry says that it is a local command.
        then: what to do when the file is written.
    """

    title: str
    place: Callable[[Path], Path]
    path: tuple[str, ...]
    transport: bool
    then: str

    def entry(self, bridge: Bridge) -> dict[str, Any]:
        """What stands in the file for a bridge."""
        entry: dict[str, Any] = {"type": "stdio"} if self.transport else {}
        entry |= {"command": bridge.program, "args": bridge.arguments}
        return entry | ({"env": bridge.environment} if bridge.environment else {})


def codex_home() -> Path:
    """`CODEX_HOME`, or the default."""
    return Path(os.environ.get("CODEX_HOME") or "~/.codex").expanduser().absolute()


def hooks_file(folder: Path) -> Path:
    """Where Claude Code looks for one's own hooks in a project."""
    return folder / ".claude" / "settings.local.json"


def hook(bridge: Bridge) -> dict[str, Any]:
    """A group of hooks that hands unread messages to a session of Claude Code."""
    return {"hooks": [{"type": "command", "command": bridge.hook, "timeout": PATIENCE}]}


TASK: Final = '"Take your next task from agentsquad and work on it."'
CLIENTS: Final = {
    Name.CLAUDE_CODE: Client(
        "Claude Code", lambda folder: folder / ".mcp.json", ("mcpServers",), True,
        f"Start `claude` in this folder, allow the server if it asks, and say: {TASK}",
    ),
    Name.CODEX: Client(
        "Codex", lambda _: codex_home() / "config.toml", ("mcp_servers",), False,
        f"Start `codex`, look with /mcp whether the server is there, and say: {TASK}",
    ),
    Name.CURSOR: Client(
        "Cursor", lambda folder: folder / ".cursor" / "mcp.json", ("mcpServers",), False,
        f"Open this folder in Cursor, switch the server on under Settings, MCP, and tell the agent: {TASK}",
    ),
    Name.GEMINI: Client(
        "Gemini CLI", lambda folder: folder / ".gemini" / "settings.json", ("mcpServers",), False,
        f"Start `gemini` in this folder, look with /mcp whether the server is there, and say: {TASK}",
    ),
    Name.VSCODE: Client(
        "VS Code", lambda folder: folder / ".vscode" / "mcp.json", ("servers",), True,
        f"Open this folder in VS Code, press Start above the server in that file, and tell the agent: {TASK}",
    ),
}  # fmt: skip
