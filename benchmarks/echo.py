"""Answers whatever comes with the same bytes, faster than any server: it shows the load generator's own ceiling.

`python -m benchmarks.echo`; a line on its input asks for the port.
"""

import asyncio
import os
import sys
from typing import Any

import uvloop

BODY = b" " * 240
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 240\r\n\r\n" + BODY


class Echo(asyncio.Protocol):
    """One connection; each chunk is taken for one request."""

    def connection_made(self, transport: Any) -> None:
        """Remember it."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: ARG002  (the protocol's signature)
        """Answer."""
        self.transport.write(ANSWER)


async def main() -> None:
    """Serve until the input ends."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def asked() -> None:
        if os.read(sys.stdin.fileno(), 4096):
            os.write(sys.stdout.fileno(), f'{{"value": {port}}}\n'.encode())
        else:
            over.set()

    loop.add_reader(sys.stdin.fileno(), asked)
    await over.wait()


if __name__ == "__main__":
    uvloop.run(main())
