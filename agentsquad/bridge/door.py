"""Where the bridge leads, and as whom: with a member's token, never with a person's key."""

import os
from dataclasses import dataclass, field

from agentsquad import profile, tokens
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
    def name(self) -> str:
        """Whom it is for, in a sentence."""
        return self.member or "the member"

    @property
    def remedy(self) -> str:
        """What to do when it stays shut: the second half of a sentence."""
        return f"{tokens.remedy(self.squad or 'SQUAD', self.member or 'NAME')}, then start the client anew"


def find(member: str | None, squad: str | None) -> Door:
    """The door for a member: with the token that `asq connect` kept for it, else with `SQUAD_TOKEN`.

    Args:
        member: its name; None for whose `SQUAD_TOKEN` is.
        squad: its id or its name; by default as `agentsquad.profile` finds it.

    Raises:
        Invalid: nobody was named, and there is no `SQUAD_TOKEN`.
        PermissionError: others can read the tokens that are kept.
        OSError: the file in which they are kept can't be used.
    """
    squad = squad or profile.squad()
    if member is not None and squad is not None:
        kept = tokens.find(squad, member, os.environ.get("SQUAD_URL") or None)
        if kept is not None:
            return Door(kept.url, kept.token, kept.squad, member)
    token = os.environ.get("SQUAD_TOKEN", "").strip() or None
    if token is None and (member is None or squad is None):
        raise Invalid("invalid", "As whom? Say --as NAME and --squad SQUAD.")
    return Door(profile.url(), token, squad, member)
