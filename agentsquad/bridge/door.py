"""Where the bridge leads, and as whom: with a member's token, never with a person's key."""

import os
from dataclasses import dataclass, field

from agentsquad import profile
from agentsquad.client import Invalid


@dataclass(frozen=True)
class Door:
    """A server, and a member of a squad on it.

    Args:
        url: where the server is.
        token: the member's; None if there is none.
        squad: id or name of the squad, if one was named.
        member: name of the member, if one was named.
    """

    url: str
    token: str | None = field(repr=False)
    squad: str | None = None
    member: str | None = None

    @property
    def remedy(self) -> str:
        """What to do when the token opens nothing."""
        squad = f" --squad {self.squad}" if self.squad else ""
        return f"Run `asq connect CLIENT{squad} --as {self.member or 'NAME'}`, and start the client anew"


def find(member: str | None, squad: str | None) -> Door:
    """The door for a member: with `SQUAD_TOKEN` if it is set, else with the token that `asq connect` kept.

    Raises:
        Invalid: nobody was named.
    """
    token = os.environ.get("SQUAD_TOKEN", "").strip() or None
    if token is None and member is None:
        raise Invalid("invalid", "As whom? Say --as NAME.")
    return Door(profile.url(), token, squad or profile.squad(), member)
