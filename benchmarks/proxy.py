"""A network between a server and its database: `python -m benchmarks.proxy LISTEN TARGET MILLISECONDS`.

Every chunk of bytes is passed on a fixed time after it came, each direction half of a round trip. Chunks wait side
by side, so it costs time and no throughput. It also counts round trips: how often a client spoke after the
database had spoken. Sockets are Unix sockets; a line on its input asks for the count.
"""

import contextlib
import json
import os
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass

CHUNK = 256 * 1024


@dataclass(slots=True, eq=False)
class End:
    """One of the two sockets of a connection."""

    socket: socket.socket
    from_client: bool
    other: "End | None" = None
    spoke_last: bool = False


class Proxy:
    """One thread around `select`, whose timeout, unlike epoll's, is finer than a millisecond.

    Args:
        listen: path of the socket to make.
        target: path of the database's socket.
        milliseconds: of a round trip.
    """

    def __init__(self, listen: str, target: str, milliseconds: float) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(listen)
        self._listener.listen(256)
        self._target = target
        self._delay = milliseconds / 2000
        self._ends: dict[int, End] = {}
        self._due: deque[tuple[float, End, bytes]] = deque()
        self.trips = 0

    def run(self) -> None:
        """Serve until the input ends."""
        questions, listener = sys.stdin.fileno(), self._listener.fileno()
        while True:
            wait = max(0.0, self._due[0][0] - time.perf_counter()) if self._due else None
            ready, _, _ = select.select([questions, listener, *self._ends], [], [], wait)
            now = time.perf_counter()
            while self._due and self._due[0][0] <= now:
                _, end, data = self._due.popleft()
                self._deliver(end, data)
            for number in ready:
                if number == questions:
                    if not os.read(questions, CHUNK):
                        return
                    os.write(sys.stdout.fileno(), json.dumps({"value": self.trips}).encode() + b"\n")
                elif number == listener:
                    self._connect()
                elif number in self._ends:
                    self._take(self._ends[number])

    def _connect(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._target)
        near, far = End(client, from_client=True), End(server, from_client=False)
        near.other, far.other = far, near
        self._ends[client.fileno()], self._ends[server.fileno()] = near, far

    def _take(self, end: End) -> None:
        try:
            data = end.socket.recv(CHUNK)
        except OSError:
            data = b""
        if not data:
            del self._ends[end.socket.fileno()]
        assert end.other is not None
        if end.from_client and data and not end.spoke_last:
            self.trips += 1
        end.spoke_last, end.other.spoke_last = True, False
        self._due.append((time.perf_counter() + self._delay, end.other, data))

    def _deliver(self, end: End, data: bytes) -> None:
        with contextlib.suppress(OSError):
            if data:
                end.socket.sendall(data)
                return
            end.socket.shutdown(socket.SHUT_WR)
        assert end.other is not None
        for one in (end, end.other):  # a database's connection that one side has left is over
            self._ends.pop(one.socket.fileno(), None)
            one.socket.close()


if __name__ == "__main__":
    Proxy(sys.argv[1], sys.argv[2], float(sys.argv[3])).run()
