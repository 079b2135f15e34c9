"""Clients that leave a stream: `python -m benchmarks.leavers [uvicorn] [granian]`.

A tiny application streams for ever, in three ways; 500 clients open it and are gone abruptly, half of them before
they have read what was sent. Does the server notice each, does it keep memory or sockets, does it still answer
others quickly? Ten rounds. For each server that is installed it prints what it found; it exits with 1 if one fails.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT, environment
from benchmarks.servers import free_port

STREAMS = 500
ROUNDS = 10
PATIENCE = 15.0  # seconds within which every stream must have ended
INTERVAL = 0.1  # seconds between two events of a stream
# A few events that wait for the client's goodbye; more than any buffer holds, so that the server stands in the
# middle of sending; and as Starlette streams: where the server says that it can, only a failed send tells.
PATHS = ("/stream", "/flood", "/response")
EVENT = b"id: 1\nevent: tick\ndata: " + b"x" * 400 + b"\n\n"
GROWTH = 1.5  # times the memory after the first round; more is a leak, or buffers that nothing bounds
STALLED = 20  # clients that don't read,
STALLED_SECONDS = 3.0  # for so long,
STALLED_MIB = 32  # may cost so much: what lies beyond means that nobody stops the application from sending
SLOW = 0.5  # seconds; a plain request that takes longer was starved
ABRUPTLY = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset

counts: Counter[str] = Counter()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Streams that never end, and `/counts`: how many of each kind there were, and how many noticed their end."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    if path in PATHS:
        counts["opened " + path] += 1
        try:
            await _stream(path, scope, receive, send)
        finally:
            counts["ended " + path] += 1
        return
    body = json.dumps(counts).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(path: str, scope: Any, receive: Any, send: Any) -> None:
    version = tuple(map(int, scope["asgi"].get("spec_version", "2.0").split(".")))
    if path == "/response" and version >= (2, 4):
        with contextlib.suppress(OSError):
            await _write(send, EVENT)
        return
    writing = asyncio.create_task(_write(send, EVENT * 200 if path == "/flood" else EVENT))
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        writing.cancel()
        await asyncio.wait([writing])


async def _write(send: Any, event: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    while True:
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(INTERVAL if event is EVENT else 0)


def command(server: str, target: str, port: int) -> list[str]:
    """How each server is started: one process, the same loop."""
    if server == "uvicorn":
        rest = ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        return [sys.executable, "-m", "uvicorn", target, *rest, "--log-level", "error"]
    rest = ["--interface", "asgi", "--port", str(port), "--workers", "1", "--loop", "uvloop"]
    return [sys.executable, "-m", "granian", *rest, "--no-access-log", "--log-level", "error", target]


@contextmanager
def running(server: str, target: str) -> Iterator[tuple[int, int]]:
    """A server's process id and port."""
    port = free_port()
    process = subprocess.Popen(command(server, target, port), cwd=ROOT, env=environment({}), start_new_session=True)
    try:
        ends = time.monotonic() + 30
        while True:
            try:
                ask(port, "/counts")
                break
            except OSError:
                if time.monotonic() > ends or process.poll() is not None:
                    raise RuntimeError(f"{server} doesn't start.") from None
                time.sleep(0.05)
        yield process.pid, port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(port: int, path: str) -> bytes:
    """A plain request on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def numbers(port: int) -> dict[str, int]:
    """What the application has counted."""
    found: dict[str, int] = json.loads(ask(port, "/counts").partition(b"\r\n\r\n")[2])
    return found


def open_now(port: int) -> dict[str, int]:
    """Streams that have not noticed yet that they are over, by kind."""
    found = numbers(port)
    return {path: found.get("opened " + path, 0) - found.get("ended " + path, 0) for path in PATHS}


def family(pid: int) -> list[int]:
    """A process and everything below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def memory(pid: int) -> float:
    """Resident MiB of a server's processes."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(pid))
    return pages * resource.getpagesize() / 2**20


def files(pid: int) -> int:
    """Open files of a server's processes."""
    return sum(len(os.listdir(f"/proc/{one}/fd")) for one in family(pid))  # noqa: PTH208  (they vanish while one looks)


def open_streams(port: int, paths: Sequence[str]) -> list[socket.socket]:
    """Clients that have each read the beginning."""
    clients = []
    for path in paths:
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        clients.append(client)
    for client in clients:
        client.recv(64)
    return clients


def leave(clients: Sequence[socket.socket]) -> None:
    """Go at once: every other reads a part first, and one in five says goodbye before."""
    for number, client in enumerate(clients):
        if number % 2:
            client.recv(100)
        if number % 5 == 0:
            client.shutdown(socket.SHUT_WR)
        client.close()


def pings(port: int, count: int) -> list[float]:
    """Seconds that plain requests take."""
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        ask(port, "/counts")
        taken.append(time.perf_counter() - start)
    return taken


def one_round(pid: int, port: int) -> dict[str, float]:
    """Open, leave, and see what is left."""
    clients = open_streams(port, [PATHS[number % len(PATHS)] for number in range(STREAMS)])
    during = pings(port, 20)
    time.sleep(3 * INTERVAL)
    leave(clients)
    start = time.monotonic()
    after = pings(port, 20)
    while any((left := open_now(port)).values()) and time.monotonic() < start + PATIENCE:
        time.sleep(0.02)
    return {
        **{f"unnoticed {path}": count for path, count in left.items()},
        "unnoticed": sum(left.values()),
        "seconds": time.monotonic() - start,
        "slowest": max(during + after),
        "median": statistics.median(during + after),
        "files": files(pid),
        "MiB": memory(pid),
    }


def stalled(pid: int, port: int) -> float:
    """MiB that a server gathers for clients that stay and don't read."""
    before = memory(pid)
    clients = open_streams(port, ["/flood"] * STALLED)
    time.sleep(STALLED_SECONDS)
    gathered = memory(pid) - before
    leave(clients)
    return gathered


def judge(server: str) -> bool:
    """Ten rounds on one server; whether it did well."""
    with running(server, "benchmarks.leavers:app") as (pid, port):
        before = files(pid)
        gathered = stalled(pid, port)
        seen: list[dict[str, float]] = []
        for number in range(1, ROUNDS + 1):
            seen.append(one_round(pid, port))
            print(f"  round {number}: " + ", ".join(f"{what} {value:.3g}" for what, value in seen[-1].items()))
            if seen[-1]["unnoticed"]:
                break
        time.sleep(1)
        left = max(0, files(pid) - before)
    unnoticed = sum(found["unnoticed"] for found in seen)
    slowest = max(found["slowest"] for found in seen)
    first, last = seen[0]["MiB"], seen[-1]["MiB"]
    good = not unnoticed and left <= 2 and last < first * GROWTH and slowest < SLOW and gathered < STALLED_MIB
    print(
        f"{server}: {'good' if good else 'BAD'}; {unnoticed:.0f} of {len(seen) * STREAMS} leavers unnoticed, "
        f"{left} files left open, {first:.0f} MiB after the first round, {last:.0f} after the last; "
        f"{gathered:.0f} MiB for {STALLED} clients that stay and don't read; "
        f"slowest plain request {slowest * 1000:.0f} ms"
    )
    return good


def main() -> None:
    """Judge every server that was named, or else that is installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leavers", description=__doc__)
    parser.add_argument("servers", nargs="*", choices=["uvicorn", "granian", []])
    servers = parser.parse_args().servers or [name for name in ("uvicorn", "granian") if find_spec(name)]
    if sys.platform != "linux":
        sys.exit("Memory and open files are read from /proc: run this on Linux.")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, most) if most > 0 else 8192, most))
    verdicts = [judge(server) for server in servers]
    sys.exit(0 if all(verdicts) else 1)


if __name__ == "__main__":
    main()
