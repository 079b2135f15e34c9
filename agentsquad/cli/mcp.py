"""`asq mcp`: the bridge that clients start, as `asq connect` tells them to."""

from typing import Annotated

import typer

from agentsquad import bridge
from agentsquad.cli.running import ending


def mcp(
    member: Annotated[str | None, typer.Option("--as", metavar="NAME", help="As this member.")] = None,
    squad: Annotated[str | None, typer.Option("--squad", "-s", help="Of this squad, by name or id.")] = None,
) -> None:
    """Speak MCP on standard input and output, as a member: what a coding agent is given to start.

    The token is the one that `asq connect` keeps for NAME; where it keeps none, or without --as, that in SQUAD_TOKEN.
    What the client claims is renewed as long as it keeps the input open, and released when it closes that.
    """
    door = bridge.find(member, squad)
    ending(lambda: bridge.serve(door))
