"""Setting up Claude Code through its own command, `claude mcp`, which keeps a server for one folder and one person."""

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Final

from agentsquad.cli import words
from agentsquad.cli.connecting.bridge import Bridge
from agentsquad.client import SquadError

SCOPE: Final = ("--scope", "local")  # for oneself in this folder: a member is nobody else's
TRIES: Final = 20  # names that may be taken
PATIENCE: Final = 30.0  # seconds that the command may take


def there() -> bool:
    """Whether the command is on the PATH."""
    return shutil.which("claude") is not None


def adding(bridge: Bridge, server: str) -> list[str]:
    """The command that adds the bridge."""
    settings = [part for name, value in bridge.environment.items() for part in ("--env", f"{name}={value}")]
    added = ["claude", "mcp", "add", "--transport", "stdio", *SCOPE, server, *settings]
    return [*added, "--", bridge.program, *bridge.arguments]


def removing(server: str) -> list[str]:
    """The command that removes it again."""
    return ["claude", "mcp", "remove", *SCOPE, server]


async def add(bridge: Bridge, folder: Path, before: str = "") -> str:
    """Add the bridge in place of the one before. Answers under which name.

    Raises:
        SquadError: the command refuses it.
    """
    taken: set[str] = set()
    server = before
    if before:
        await _run(removing(before), folder)  # it may be gone
    while True:
        server = server or bridge.name(taken)
        code, said = await _run(adding(bridge, server), folder)
        if code == 0:
            return server
        if "already exists" not in said or len(taken) == TRIES:
            raise SquadError("client", f"`claude mcp add` failed: {said or code}.")
        taken.add(server)
        server = ""


async def remove(server: str, folder: Path) -> None:
    """Remove what was added; that it is gone already is no error.

    Raises:
        SquadError: the command isn't there.
    """
    if not there():
        command = " ".join(removing(server))
        raise SquadError("client", f"claude is not on the PATH; where it is, run `{command}` in {folder}.")
    await _run(removing(server), folder)


async def _run(command: list[str], folder: Path) -> tuple[int, str]:
    """Run a command. Answers its exit code and what it said."""
    program = shutil.which(command[0]) or command[0]
    process = await asyncio.create_subprocess_exec(
        program, *command[1:], cwd=folder, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate()
    except TimeoutError:
        return 1, f"no answer within {PATIENCE:.0f} s"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode or 0, words.line(said.decode(errors="replace")).strip(" .")
