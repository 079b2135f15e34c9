"""How agents call tools: through any of the servers, and again while they are busy."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR

from tests.interfaces.mcp.conftest import Refused, Session


async def answer(sessions: Sequence[Session], chance: random.Random, tool: str, **arguments: Any) -> Any:
    """What a tool answers; whoever hears that the server is overloaded calls again, as it is told to.

    Raises:
        Refused: it answers with another error.
    """
    while True:
        try:
            return await chance.choice(sessions).call(tool, **arguments)
        except Refused as refused:
            if refused.said["code"] != "overloaded":
                raise
        except MCPError as error:  # the door was too busy to look at the token; nothing happened
            if error.code != INTERNAL_ERROR:
                raise
        await asyncio.sleep(chance.uniform(1.0, 1.5))
