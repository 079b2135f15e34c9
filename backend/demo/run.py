"""`asq demo`: a server of its own, six workers, a lead's task, one SIGKILL, a report, and nothing left running."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

from agentsquad import local
from agentsquad.client import AsyncClient
from agentsquad.schemas.events import Event
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import Board, Task, TaskNew
from backend.core.embedded import Cluster
from backend.core.errors import StartError
from backend.demo.show import Show

LEASE: Final = 3  # seconds
PACE: Final = 1.0  # seconds that each task takes at least, so that one can watch
LOOK: Final = 0.2  # seconds between two looks at the log
HEADING: Final = "# Review of "  # what each report begins with
LIMIT: Final = 45.0  # seconds until it is given up
VICTIM: Final = "rob"
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last one when the terminal is closed
WORKERS: Final = {
    "lea": "lead",
    "pam": "parser",
    "rob": "reviewer",
    "tess": "reviewer",
    "ari": "architect",
    "wes": "writer",
}


async def run(folder: Path, report: Path, picture: Path | None = None) -> None:
    """Let a squad review a folder of Python source.

    Args:
        folder: an absolute path, as the other two.
        report: where the Markdown goes.
        picture: where an SVG of board and log goes, as they stand when a lease has lapsed; None for none.

    Raises:
        StartError: the folder isn't there, the report can't be written, or it took too long.
        SystemExit: a signal ended it.
    """
    await asyncio.to_thread(_check, folder, report)
    started = time.monotonic()
    with _signals(), _home() as home:
        async with _processes(home) as processes:
            await processes.start("serve", "--port", "0")
            url = await _address(home, processes)
            async with AsyncClient(url, (home / local.KEY).read_text().strip()) as client:
                squad = await client.create_squad(SquadNew(name="demo", lease_seconds=LEASE))
                await client.create_tasks(
                    [TaskNew(title=f"Review {folder.name}", role="lead", input={"folder": str(folder)})]
                )
                workers = {name: await processes.worker(url, str(squad.id), name) for name in WORKERS}
                with Show(folder, picture) as show:
                    try:
                        async with asyncio.timeout(LIMIT):
                            done = await _watch(client, show, workers[VICTIM])
                    except TimeoutError:
                        raise StartError(f"The squad wasn't ready after {LIMIT:.0f} s; try a smaller folder.") from None
                await asyncio.to_thread(report.write_text, done.result["markdown"], encoding="utf-8")
                show.summary(report, await client.board(), time.monotonic() - started)


def _check(folder: Path, report: Path) -> None:
    if not folder.is_dir():
        raise StartError(f"{folder} is not a folder; name one with Python source.")
    if not os.access(report if report.exists() else report.parent, os.W_OK) or report.is_dir():
        raise StartError(f"{report} can't be written; name another file with --report.")
    if report.is_file() and not _is_ours(report):
        raise StartError(f"{report} is not a report of the demo; name another file with --report.")


def _is_ours(report: Path) -> bool:
    try:
        with report.open("rb") as file:
            return file.read(len(HEADING)) == HEADING.encode()
    except OSError:
        return False


async def _watch(client: AsyncClient, show: Show, victim: asyncio.subprocess.Process) -> Task:
    """Follow the log until the report is there; kill the victim as soon as it holds a task."""
    position = 0
    while True:
        page = await client.events(position)
        position = page.last
        board = await client.board()
        for event in page.items:
            show.event(event, board)
            if _holds(event, VICTIM) and victim.returncode is None:
                victim.kill()
                show.say(f"{VICTIM} is killed with SIGKILL while it holds #{event.task}; its lease ends by itself.")
        show.board(board)
        if report := _report(board):
            return await client.task(report)
        await asyncio.sleep(LOOK)


def _holds(event: Event, member: str) -> bool:
    return event.kind == "task.claimed" and event.actor.member == member


def _report(board: Board) -> int | None:
    """The number of the report, which is the last task, if it is done."""
    last = board.tasks[-1]
    return last.number if last.status == "done" and last.role == "writer" else None


class _Processes:
    """What the demo has started."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._log = (home / "demo.log").open("ab")
        self.started: list[asyncio.subprocess.Process] = []

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agentsquad",
            *arguments,
            env=_environment(self._home) | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    async def worker(self, url: str, squad: str, name: str) -> asyncio.subprocess.Process:
        module = "backend.demo.lead" if WORKERS[name] == "lead" else "backend.demo.work"
        options = ["--as", name, "--role", WORKERS[name], "--squad", squad, "--stdin", "none"]
        command = [sys.executable, "-m", module]
        return await self.start("work", *options, "--", *command, SQUAD_URL=url, DEMO_PACE=str(PACE))

    def complaint(self) -> str:
        lines = (self._home / "demo.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it says nothing"

    async def stop(self) -> None:
        """Workers first, the server last."""
        for process in reversed(self.started):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), 10)
                except TimeoutError:
                    process.kill()
                    await process.wait()
        self._log.close()


@contextlib.asynccontextmanager
async def _processes(home: Path) -> AsyncIterator[_Processes]:
    processes = _Processes(home)
    try:
        yield processes
    finally:
        await asyncio.shield(processes.stop())


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """A signal cancels this task, so that all is cleaned up; further ones don't disturb that."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    caught: list[int] = []

    def end(number: int) -> None:
        if not caught:
            task.cancel()
        caught.append(number)

    heeded = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup asks
    for number in heeded:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not caught:
            raise
        raise SystemExit(128 + caught[0]) from None  # as a shell says it
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """A home folder of the demo's own, which goes with everything in it."""
    # Without links, as the server names it: by this name the bundled PostgreSQL is found.
    home = Path(os.path.realpath(tempfile.mkdtemp(prefix="agentsquad-demo-")))
    try:
        yield home
    finally:
        Cluster(home).destroy()
        shutil.rmtree(home, ignore_errors=True)


async def _address(home: Path, processes: _Processes) -> str:
    """Where the server answers, as soon as it does."""
    server = processes.started[0]
    while server.returncode is None:
        for _, url in local.running(home):
            async with AsyncClient(url, timeout=2) as client:
                if await client.alive() and (home / local.KEY).exists():
                    return url
        await asyncio.sleep(0.05)
    raise StartError(f"The demo's server didn't start: {processes.complaint()}")


def _environment(home: Path) -> dict[str, Any]:
    """Ours without what would lead to another server."""
    foreign = ("SQUAD_", "DATABASE_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {"SQUAD_HOME": str(home), "TMPDIR": str(home)}
