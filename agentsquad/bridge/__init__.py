"""`asq mcp`: the server's MCP address on standard input and output, for clients on this machine.

It carries messages, and of the tools it knows none but `claim_task`: one process is one session, whose claims are
renewed while the client lives, and released when it goes away.
"""

import asyncio
import contextlib
import math
import signal
from typing import Final

from agentsquad.bridge import lines
from agentsquad.bridge.carrying import Bridge
from agentsquad.bridge.door import Door, find
from agentsquad.client import AsyncClient

__all__ = ["Door", "find", "serve"]

TIMEOUT: Final = 10.0  # seconds until a sign of life is given up and sent again


async def serve(door: Door, source: int = 0, sink: int = 1, log: int = 2) -> None:
    """Carry messages between a client and a server until the input ends, or a signal comes.

    Args:
        door: which server, and as whom.
        source: the open file to read from.
        sink: the open file to write to.
        log: the open file for what isn't the client's, but a person's to read.

    Raises:
        Invalid: the server's address is none.
    """
    async with contextlib.AsyncExitStack() as stack:
        output, said = (stack.enter_context(contextlib.closing(lines.Output(file))) for file in (sink, log))
        if door.token is None:
            said.say(f"There is no token of {door.name}; {door.remedy}.")
        client = AsyncClient(door.url, door.token, squad=door.squad, timeout=TIMEOUT, patience=math.inf)
        bridge = Bridge(door, await stack.enter_async_context(client), output, said.say)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as below nohup
                loop.add_signal_handler(number, bridge.stop)
        await bridge.run(await stack.enter_async_context(contextlib.aclosing(lines.read(source))))
