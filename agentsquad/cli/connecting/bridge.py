"""How a client starts the bridge for a member, and how one knows its entry again."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agentsquad import local, profile
from agentsquad.client import Invalid

SERVER: Final = "agentsquad"  # its name in a client's list of servers
OURS: Final = "SQUAD_"  # how the names of our environment begin


@dataclass(frozen=True)
class Bridge:
    """The command that speaks for a member.

    Args:
        program: `asq`, with the whole path: clients start with another PATH.
        squad: the squad's id, which a new name of the squad doesn't change.
        member: the member's name.
        environment: what of ours isn't as it is by default. No token is in it.
    """

    program: str
    squad: str
    member: str
    environment: dict[str, str]

    @property
    def arguments(self) -> list[str]:
        """What follows the program."""
        return ["mcp", *self._who]

    @property
    def hook(self) -> str:
        """The line for a shell that hands unread messages to a session."""
        settings = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*settings, shlex.join([self.program, "inbox", "--hook", *self._who])])

    @property
    def _who(self) -> list[str]:
        return ["--squad", self.squad, "--as", self.member]

    def starts(self, entry: Any) -> bool:
        """Whether an entry of a client starts the bridge for this member, from wherever."""
        return isinstance(entry, dict) and entry.get("args") == self.arguments

    def hooks(self, group: Any) -> bool:
        """Whether a group of hooks is this member's, from wherever."""
        try:
            (handler,) = group["hooks"]
            return shlex.split(handler["command"])[-6:] == ["inbox", "--hook", *self._who]
        except (KeyError, TypeError, ValueError, AttributeError):
            return False

    def name(self, taken: Container[str]) -> str:
        """A name for the server that no other has; clients take letters, digits and dashes."""
        longer = f"{SERVER}-{re.sub('[^A-Za-z0-9]+', '-', self.member).strip('-') or 'member'}"
        names = [SERVER, longer]
        while names[-1] in taken:
            names.append(f"{longer}-{len(names)}")
        return next(name for name in names if name not in taken)


def bridge(squad: str, member: str, url: str) -> Bridge:
    """The bridge that this machine has.

    Raises:
        Invalid: it isn't found, or its path can't stand in a client's file.
    """
    environment = {}
    if local.home() != Path(local.HOME).expanduser().absolute():
        environment["SQUAD_HOME"] = str(local.home())
    if url != profile.URL:
        environment["SQUAD_URL"] = url
    program = _program()
    for path in (program, *environment.values()):
        if "$" in path or not path.isprintable():
            raise Invalid("invalid", f"{path!a} can't stand in a client's file; use a path of plain characters.")
    return Bridge(program, squad, member, environment)


def _program() -> str:
    """Where `asq` is: as it was started, else on the PATH, else beside this Python."""
    started = sys.argv[0]
    beside = Path(sys.executable).with_name("asq")
    for given in (started if os.sep in started else None, started, "asq", str(beside)):
        found = given and shutil.which(given)
        if found and Path(found).suffix != ".py":
            return str(Path(found).absolute())
    raise Invalid("invalid", "asq is not on the PATH; start it by its whole path.")
