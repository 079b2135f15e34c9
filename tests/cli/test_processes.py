"""A command's process group, of which nothing is left."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from agentsquad.cli import processes


async def until(holds: Callable[[], Any], patience: float = 20) -> None:
    ends = time.monotonic() + patience
    while not await holds():
        assert time.monotonic() < ends
        await asyncio.sleep(0.05)


async def test_what_a_command_leaves_running_is_not_waited_for_and_ends_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    started = time.monotonic()
    outcome = await run(f"sleep 30 & echo $! > {pid}; echo hi")
    assert outcome == processes.Outcome(0, b"hi\n", b"")
    assert time.monotonic() - started < 3
    assert ended(pid)


async def test_a_daemon_that_holds_the_output_keeps_no_task(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    try:
        outcome = await run(
            f"setsid sh -c 'echo $$ > {pid}; exec sleep 30' & while [ ! -s {pid} ]; do sleep 0.05; done; echo hi",
            b"x" * 1_000_000,
        )
        assert outcome == processes.Outcome(0, b"hi\n", b"")
        assert not ended(pid)  # it has left the group
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_what_does_not_listen_to_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.3)
    pid = tmp_path / "pid"
    outcome = await run(
        f"(trap '' TERM; sleep 30 & echo $! > {pid}; wait) & while [ ! -s {pid} ]; do sleep 0.05; done; echo hi"
    )
    assert outcome.out == b"hi\n"
    assert ended(pid)


async def test_a_command_that_leaves_nothing_is_over_at_once() -> None:
    started = time.monotonic()
    assert await run("cat >&2; printf out; exit 3", b"in") == processes.Outcome(3, b"out", b"in")
    assert time.monotonic() - started < processes.GRACE


async def test_cancelling_twice_kills_at_once(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    running = asyncio.create_task(run(f"trap '' TERM; echo $$ > {pid}; while :; do sleep 1; done"))

    async def started() -> bool:
        return pid.exists() and bool(pid.read_text())

    await until(started)
    running.cancel()
    assert (await asyncio.wait({running}, timeout=0.3))[1]
    running.cancel()
    assert (await asyncio.wait({running}, timeout=2))[0]
    assert ended(pid)


async def test_cancelling_a_start_ends_what_was_started(tmp_path: Path) -> None:
    for turns in range(6):
        pid = tmp_path / str(turns)
        running = asyncio.create_task(run(f"echo $$ > {pid}; sleep 60"))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        assert (await asyncio.wait({running}, timeout=10))[0]
        assert running.cancelled()
        assert not pid.exists() or not pid.read_text() or ended(pid)


async def run(script: str, stdin: bytes = b"") -> processes.Outcome:
    return await processes.run(["sh", "-c", script], os.environ, stdin)


def ended(pid: Path) -> bool:
    """Whether the process whose number the file holds ends, reaped or not; a killed one takes a moment to."""
    ends = time.monotonic() + 5
    try:
        process = psutil.Process(int(pid.read_text()))
        while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < ends:
            time.sleep(0.02)
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
